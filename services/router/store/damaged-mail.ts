import { fieldValue, splitHeader } from '#shared/mail/header.ts';
import type { DamagedMail } from '#shared/store-damage.ts';
import { keys } from './records.ts';
import { payloadOf } from './seal.ts';

/**
 * Whose mail a damaged message is, as far as its records still say: so that a person can tell sender or recipients. A
 * record that fails its digest may hold a few wrong bytes among many right ones, so it is searched, not parsed; where the
 * envelope is gone, the header of the message names them.
 */

const REVERSE_PATH = /"reversePath":"((?:[^"\\]|\\.){0,1000})"/;
const ADDRESS = /"address":"((?:[^"\\]|\\.){1,1000})"/;
/** Recipients that are named. */
const MOST_RECIPIENTS = 100;
/** Bytes of a header that are looked at, and characters of a field that are kept. */
const HEADER_BYTES = 32 * 1024;
const LONGEST = 500;

export class DamagedMailReader {
  readonly #id: string;
  #from: string | undefined;
  readonly #to: string[] = [];
  #header: { from: string | undefined; to: string | undefined } | undefined;

  constructor(id: string) {
    this.#id = id;
  }

  /** Whether a record under this key of the queue says anything of it. */
  static isTelling(key: string): boolean {
    return /^(?:message!|recipient!|body!.*!00000$)/.test(key);
  }

  /** A record as it was found; `key` is the one that it has in the queue. */
  learn(key: string, sealed: Buffer): void {
    const bytes = payloadOf(sealed);
    if (key === keys.message(this.#id)) this.#from = found(REVERSE_PATH, bytes);
    else if (key.startsWith('recipient!')) {
      const address = found(ADDRESS, bytes);
      if (address !== undefined && this.#to.length < MOST_RECIPIENTS) this.#to.push(address);
    } else if (key === keys.body(this.#id, 0)) this.#header = headerOf(bytes);
  }

  get mail(): DamagedMail {
    const from = this.#from ?? this.#header?.from;
    const named = this.#header?.to === undefined ? [] : [this.#header.to];
    return { queueId: this.#id, ...(from !== undefined && { from }), to: this.#to.length > 0 ? this.#to : named };
  }
}

/** The text of a string in damaged JSON. */
function found(pattern: RegExp, bytes: Buffer): string | undefined {
  const text = pattern.exec(bytes.toString())?.[1];
  if (text === undefined) return undefined;
  try {
    return JSON.parse(`"${text}"`) as string;
  } catch {
    return text;
  }
}

function headerOf(bytes: Buffer): { from: string | undefined; to: string | undefined } {
  const fields = splitHeader(bytes.toString('latin1', 0, HEADER_BYTES));
  const textOf = (name: string): string | undefined => {
    const field = fields.find((f) => f.name === name);
    return field && Buffer.from(fieldValue(field), 'latin1').toString().slice(0, LONGEST);
  };
  return { from: textOf('from'), to: textOf('to') };
}
