import { isIP } from 'node:net';
import type { RefusalSearch } from '#services/listener/contract.ts';
import { QUEUE_ID } from '#shared/ids.ts';
import type { FindQuestion } from './reader.ts';

/** What a text asks for that stands for a message. Pure. */

/** What somebody looks for: a queue id, a Message-ID, an address or a domain. */
export function subjectOf(what: string): FindQuestion {
  if (QUEUE_ID.test(what)) return { queueId: what };
  if (what === '' || what === '<>') return { from: '' };
  // Without its angle brackets a Message-ID looks like an address.
  return what.startsWith('<') ? { messageId: what } : { about: partyOf(what) };
}

/** An address or a domain: `<bob@example.net>` and `@example.net` are meant as well. */
export function partyOf(text: string): string {
  return text.replace(/^<(.*)>$/, '$1').replace(/^@/, '');
}

/** Of refusals at the door, also by the IP address of a client, a session or a trace: each finds what the others do not. */
export function refusalSearches(what: string): RefusalSearch[] {
  if (isIP(what) !== 0) return [{ client: what }];
  const plain = what.replace(/^<(.*)>$/, '$1');
  if (plain.includes('@')) return what.startsWith('<') ? [{ id: plain }] : [{ party: plain }, { id: plain }];
  return plain.includes('.') ? [{ party: plain.replace(/^@/, '') }] : [{ id: plain }, { party: plain }];
}
