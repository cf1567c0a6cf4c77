import { randomFillSync } from 'node:crypto';

/** Crockford's base 32: no I, L, O, U, sorts like the number it encodes. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

const DIGITS: ReadonlyMap<string, number> = new Map([...ALPHABET].map((digit, value) => [digit, value]));

let lastTime = 0;
/** A clock that is set back by more is followed, as it is by a restart: else mail would seem to come from the future. */
const SET_BACK_MS = 60_000;
let sequence = 0;

function encode(value: number, digits: number): string {
  let text = '';
  for (let rest = value, i = 0; i < digits; i++) {
    text = ALPHABET.charAt(rest % 32) + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}

/** Random bytes are fetched from the system by the thousand: each fetch costs as much as the whole rest of an id. */
const pool = Buffer.alloc(4096);
let unused = 0;

function randomText(digits: number): string {
  let text = '';
  for (let i = 0; i < digits; i++) {
    if (unused === 0) unused = randomFillSync(pool).length;
    text += ALPHABET.charAt(pool.readUInt8(--unused) % 32);
  }
  return text;
}

/**
 * A queue id: 16 characters that sort by the time of acceptance and are unique over all nodes.
 * 9 digits of milliseconds, 2 of a counter within the millisecond, 5 random ones (25 bits).
 */
export function newQueueId(now: number = Date.now()): string {
  if (now > lastTime || lastTime - now > SET_BACK_MS) {
    lastTime = now;
    sequence = 0;
  } else if (++sequence === 1024) {
    lastTime++;
    sequence = 0;
  }
  return encode(lastTime, 9) + encode(sequence, 2) + randomText(5);
}

/** The smallest queue id that could have been made at `time` (ms since 1970): a bound for range scans. */
export function queueIdFloor(time: number): string {
  return encode(Math.max(0, time), 9);
}

/** When a queue id was made: ms since 1970, never before `now` of then. NaN where it is none. */
export function timeOfQueueId(id: string): number {
  let time = 0;
  for (let n = 0; n < 9; n++) time = time * 32 + (DIGITS.get(id.charAt(n)) ?? Number.NaN);
  return time;
}

/** What a queue id looks like, for input from people. */
export const QUEUE_ID = /^[0-9A-HJKMNP-TV-Z]{16}$/;

/** An id of a session, transfer or trace: `length` random characters, 5 bits each. */
export function newId(length = 12): string {
  return randomText(length);
}
