import type { GroupedBy, QueueFilter, QueueGroup } from '#services/console/schemas/queue.ts';
import { countText } from '../../kit/format.ts';
import { segment } from '../../state/api.ts';

/** Groups of waiting mail: what they are called, where they lead, and which mail they are. Pure. */

export const GROUPED_BY = [
  ['destination', 'Destination'],
  ['reply', 'Last reply'],
  ['sender', 'Sender'],
  ['hold', 'Held by'],
  ['node', 'Node'],
] as const satisfies (readonly [GroupedBy, string])[];

/** As the routers call the group of mail that has no reply yet. */
const NOT_TRIED = 'not tried yet';

/** Whether the mail of a group can be named to the queues, so that much of it can be changed together. */
export const isChangeable = (by: string | undefined): boolean =>
  by === 'destination' || by === 'reply' || by === 'sender';

/** Which mail of the queues it is; undefined where no filter says it. */
export function filterOf(by: GroupedBy, key: string): QueueFilter | undefined {
  switch (by) {
    case 'destination':
      return { domain: key };
    case 'reply':
      return key === NOT_TRIED ? undefined : { reply: key };
    case 'sender':
      return { sender: key === '<>' ? '' : key };
    default:
      return undefined;
  }
}

/** In a sentence: `the mail to example.net and domains below it`. */
export function mailText(by: GroupedBy, key: string): string {
  switch (by) {
    case 'destination':
      return `the mail to ${key} and domains below it`;
    case 'reply':
      return `the mail whose last reply is “${key}”`;
    default:
      return `the mail from ${key}`;
  }
}

export const groupHref = (by: GroupedBy, { key }: Pick<QueueGroup, 'key'>): string | undefined =>
  isChangeable(by) ? `/destinations/${by}/${segment(key)}` : undefined;

/** Where its messages are listed. */
export function messagesHref(by: GroupedBy, key: string): string | undefined {
  if (by === 'destination') return `/messages?state=waiting&to=${segment(key)}`;
  if (by === 'sender') return `/messages?state=waiting&q=${segment(key)}`;
  return by === 'hold' ? '/messages?state=held' : undefined;
}

/** `12 (3 held)` */
export const messagesText = ({ messages, held }: Pick<QueueGroup, 'messages' | 'held'>): string =>
  held === 0 ? countText(messages) : `${countText(messages)} (${countText(held)} held)`;
