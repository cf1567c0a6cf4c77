import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Public test vectors of SPF, DKIM and ARC, read from where they are kept beside a checkout (or from
 * `SEALPOST_VECTORS`): they are not part of this project.
 */
const FOLDER = process.env['SEALPOST_VECTORS'] ?? fileURLToPath(new URL('../../../../shared/vectors', import.meta.url));

/** A record of a vector's zone: its type and value, or that a question that no other answers gets no answer. */
export type VectorRecord = [type: string, value: string | string[] | [number, string]] | 'TIMEOUT';
/** Records by name; a word stands for the answer to every question about the name. */
export type VectorZone = Record<string, VectorRecord[] | 'NXDOMAIN' | 'SERVFAIL' | 'TIMEOUT'>;

/** For a test that needs a file of them: skipped, with the reason, where it is not there. */
export function needsVectors(file: string): { skip?: string } {
  return existsSync(join(FOLDER, file)) ? {} : { skip: `the public test vectors (${file}) are not in ${FOLDER}` };
}

export function readVectors<T>(file: string): T[] {
  return existsSync(join(FOLDER, file)) ? (JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as T[]) : [];
}

/** Zones put together as long as no name stands for two things; each with what came with its zone. */
export function mergeZones<T>(cases: readonly T[], zoneOf: (one: T) => VectorZone): { zone: VectorZone; cases: T[] }[] {
  const merged: { zone: VectorZone; cases: T[] }[] = [];
  for (const one of cases) {
    const zone = zoneOf(one);
    const agrees = (other: VectorZone): boolean =>
      Object.entries(zone).every(([name, said]) => !(name in other) || same(other[name], said));
    const place = merged.find((group) => agrees(group.zone));
    if (place === undefined) merged.push({ zone: { ...zone }, cases: [one] });
    else {
      Object.assign(place.zone, zone);
      place.cases.push(one);
    }
  }
  return merged;
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
