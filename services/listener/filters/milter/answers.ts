import { type Reply, reply } from '#shared/mail/reply.ts';
import { oneLine, printable } from '#shared/text.ts';
import type { HeaderChange } from '../filter.ts';
import type { Packet } from './packets.ts';
import { UNABLE } from './protocol.ts';

/** What a milter answers. `progress`: it needs more time; `skip`: no more of the body. */
export type Answer =
  | { kind: 'continue' | 'accept' | 'discard' | 'skip' | 'progress' }
  | { kind: 'reject' | 'defer'; reply: Reply }
  | { kind: 'change'; change: HeaderChange }
  | { kind: 'quarantine'; reason: string };

const REJECTED = reply(550, '5.7.1', 'Message rejected by a filter of this server');
const DEFERRED = reply(451, '4.7.1', 'Message deferred by a filter of this server, please try again later');

/** Characters of a reply that a milter chose: with code and line end within a line of RFC 5321 §4.5.3.1.5. */
const LONGEST_TEXT = 480;
const LONGEST_REASON = 200;

/** Understand a packet. Throws where it has no meaning here. */
export function answerOf({ code, data }: Packet): Answer {
  switch (code) {
    case 'c':
      return { kind: 'continue' };
    case 'a':
      return { kind: 'accept' };
    case 'd':
      return { kind: 'discard' };
    case 's':
      return { kind: 'skip' };
    case 'p':
      return { kind: 'progress' };
    case 'r':
      return { kind: 'reject', reply: REJECTED };
    case 't': // tempfail, and two that would end the connection of a client
    case 'f':
    case '4':
      return { kind: 'defer', reply: DEFERRED };
    case 'y':
      return chosenReply(words(data, 1)[0] ?? '');
    case 'h':
    case 'i':
    case 'm':
      return { kind: 'change', change: changeOf(code, data) };
    case 'q':
      return { kind: 'quarantine', reason: oneLine(utf8(words(data, 1)[0] ?? ''), LONGEST_REASON) };
    default:
      if (UNABLE[code] !== undefined) throw new Error(`it wants to ${UNABLE[code]}, which cannot be done here`);
      throw new Error(`it answered "${printable(code)}", which was not agreed on`);
  }
}

/** `550 5.7.1 text`; the lines of a longer one are `550-5.7.1 text` with a CRLF between. */
function chosenReply(text: string): Answer {
  const match = /^([45]\d\d)[ -](?:([45]\.\d{1,3}\.\d{1,3})[ \r\n]?)?/.exec(text);
  const digits = match?.[1];
  if (match === null || digits === undefined)
    throw new Error(`it chose a reply that is none: "${printable(text, 80)}"`);
  const enhanced = match[2]?.[0] === digits[0] ? match[2] : undefined;
  const lines = text.split(/\r?\n/).map((line) => line.replace(/^\d{3}[ -]?(?:[245]\.\d{1,3}\.\d{1,3} ?)?/, ''));
  const kind = digits[0] === '5' ? 'reject' : 'defer';
  const standard = kind === 'reject' ? REJECTED : DEFERRED;
  const said = oneLine(utf8(lines.join(' ')), LONGEST_TEXT).trim();
  return {
    kind,
    reply: {
      code: Number(digits),
      enhanced: enhanced ?? standard.enhanced,
      // RFC 5321 §4.2: a reply is ASCII.
      text: said.replace(/[^\x20-\x7e]/g, '?') || standard.text,
    },
  };
}

/**
 * A field that is added comes in front of all others, wherever a milter would like to have it: those that sign or that say
 * what they found want it there.
 */
function changeOf(code: 'h' | 'i' | 'm', data: Buffer): HeaderChange {
  const numbered = code !== 'h';
  if (numbered && data.length < 4) throw new Error('it sent a change of the header that is cut short');
  const [name = '', text = ''] = words(numbered ? data.subarray(4) : data, 2);
  const value = utf8(text);
  if (code !== 'm') return { kind: 'add', name, value };
  const occurrence = Math.max(1, data.readUInt32BE(0));
  return value === '' ? { kind: 'remove', name, occurrence } : { kind: 'replace', name, occurrence, value };
}

/** The strings in this data, bytes as characters, each ended by a NUL. Throws where they are not `count`. */
function words(data: Buffer, count: number): string[] {
  const all = data.toString('latin1').split('\0');
  if (all.length !== count + 1 || all.at(-1) !== '')
    throw new Error('it sent a packet with the wrong number of strings');
  return all.slice(0, -1);
}

function utf8(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString();
}
