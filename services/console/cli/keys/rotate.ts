import type { RotationStatus } from '#shared/keys/rotation.ts';
import { parseDuration } from '#shared/units.ts';
import { type CredentialStore, listKeys } from '../../reports/keys/key-list.ts';
import { recordOf } from '../../reports/keys/record.ts';
import { changeText } from '../../reports/keys/text.ts';
import { type CommonOptions, print, withStore } from '../context.ts';
import { usageError } from '../exit.ts';
import { clean } from '../table.ts';
import { watchRotation } from './watch.ts';

/** `sealpost keys rotate`, and `keys watch` for a rotation that runs already. */

type RotateOptions = CommonOptions & {
  selector?: string[];
  from?: string[];
  /** ms */
  sideBySide?: number;
  watch?: boolean;
};

export async function rotate(domain: string, options: RotateOptions): Promise<void> {
  const { selector, from, sideBySide } = options;
  const request = {
    domain,
    ...(selector !== undefined && { to: selector }),
    ...(from !== undefined && { from }),
    ...(sideBySide !== undefined && { sideBySide }),
  };
  await withStore(options, async (store) => {
    const rotation = await store['rotation-start'](request);
    const text = options.json && !options.watch ? '' : await begun(store, rotation);
    if (!options.watch) {
      print(options, rotation, () => `${text}\n\n${howToGoOn(rotation.domain)}`);
      return;
    }
    if (!options.json) console.log(`${text}\n`);
    await watchRotation(store, rotation, options);
  });
}

export async function watch(domain: string, options: CommonOptions): Promise<void> {
  await withStore(options, async (store) => watchRotation(store, await store['rotation-show']({ domain }), options));
}

/** What was begun, and the records to publish by hand. */
async function begun(store: CredentialStore, rotation: RotationStatus): Promise<string> {
  const { keys } = await listKeys(store, rotation.domain);
  const records = keys
    .filter((key) => key.publish === 'manual' && rotation.to.some((to) => to.selector === key.selector))
    .map((key) => recordOf(key).zone);
  const publish =
    records.length === 0 ? [] : ['', 'Publish this; Sealpost waits for it and goes on by itself:', '', ...records];
  return [clean(`rotation of ${rotation.domain} began: ${changeText(rotation)}`), ...publish].join('\n');
}

function howToGoOn(domain: string): string {
  return [
    'It continues even if this command ends.',
    `see it:  sealpost keys watch ${domain}`,
    `stop it: sealpost keys freeze ${domain}`,
  ].join('\n');
}

/** Milliseconds, from `2d`. */
export function parseSpan(text: string): number {
  const span = parseDuration(text);
  if (span === undefined) throw usageError(`"${text}" is not a duration, such as 12h or 2d`);
  return span;
}
