import { randomInt } from 'node:crypto';

/**
 * An app password: six groups of four characters of base 32 (RFC 4648 §6), `abcd-efgh-ijkl-mnop-qrst-uvwx`. The first group,
 * its tag, finds it among those of a user, so that a log-in costs one hash however many there are; the other 100 bits
 * are random and shown once. Spaces, hyphens and case do not count when it is typed.
 */
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const GROUPS = 6;
const GROUP = 4;
const FORM = new RegExp(`^[${ALPHABET}]{${GROUPS * GROUP}}$`);

export type AppPasswordText = { tag: string; text: string };

export function newAppPassword(): AppPasswordText {
  const characters = Array.from({ length: GROUPS * GROUP }, () => ALPHABET[randomInt(ALPHABET.length)]);
  return grouped(characters.join(''));
}

/** What was typed, in the form that is hashed; undefined where it cannot be an app password. */
export function readAppPassword(typed: string): AppPasswordText | undefined {
  if (typed.length > 2 * GROUPS * GROUP) return undefined;
  const characters = typed.replace(/[\s-]/g, '').toLowerCase();
  return FORM.test(characters) ? grouped(characters) : undefined;
}

function grouped(characters: string): AppPasswordText {
  const groups = characters.match(/.{4}/g) ?? [];
  return { tag: groups[0] ?? '', text: groups.join('-') };
}
