import { usageError } from '../../exit.ts';

/** Where an interrupted change goes on, as `cursorOf` has printed it. */

/** By node, the queue id after which it goes on, or `done`. Throws a usage error. */
export function parseCursor(text: string): Map<string, string> {
  const places = text.split(',').map((place) => /^(.+):([0-9A-Z]{1,20}|done)$/.exec(place));
  return new Map(
    places.map((place) => {
      const [, node, id] = place ?? [];
      if (node === undefined || id === undefined)
        throw usageError(`--after is what an interrupted command printed, not "${text}"`);
      return [node, id];
    }),
  );
}
