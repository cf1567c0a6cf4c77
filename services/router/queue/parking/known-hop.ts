import type { Settings } from '#cluster/config/settings.ts';
import { isFinal, type Message, soleHop } from '../../store/message.ts';
import type { KnownHop } from '../../store/reading.ts';
import type { RecipientRecord } from '../../store/records.ts';
import { wayOf } from '../grouping.ts';
import { Routing } from '../routing.ts';

type Known = Pick<Message, 'id' | 'record'> & { recipients: readonly RecipientRecord[] };

/**
 * The key of the next hop that a message waits for, where it may wait for it unread when it is due (ms since 1970); '' where it
 * has to be read then. That is so where it goes elsewhere now than it did: routes have changed during its last attempt, or
 * before a start. And where its sender is to hear by then that it is late: nothing but its record says whether that is done.
 */
export function knownHop(
  { id, record, recipients }: Known,
  due: number,
  { settings, routing }: { settings: Settings; routing: Routing },
): string {
  const hop = soleHop(recipients);
  const delayNotice = settings.current.queue['delay-notice'];
  const isTold = delayNotice === 0 || record.delayNoticed || record.reversePath === '';
  if (hop === '' || (!isTold && record.arrived + delayNotice <= due)) return '';
  const goesThere = (one: RecipientRecord): boolean => wayOf({ id, record }, one, routing).hop?.key === hop;
  return recipients.every((one) => isFinal(one.status) || goesThere(one)) ? hop : '';
}

/** The same for what a start reads, before directives are there. Where one is in force (not `isKnown`), nothing is known. */
export function knownAtStart(settings: Settings, isKnown: () => boolean): KnownHop {
  const deps = { settings, routing: new Routing(settings) };
  return (message, due) => (isKnown() ? knownHop(message, due, deps) : '');
}
