import type { MailFacts } from '../../reports/mail/why/facts.ts';
import type { Bounds } from '../access.ts';

/**
 * What of a message a domain administrator sees: all of what her domains send, and of other mail her recipients alone. She
 * changes, and reads, what her users sent, and what is for nobody else; whoever writes her domain into a reverse-path
 * gives her no power over it.
 */

type Entry = Extract<MailFacts, { kind: 'queued' }>['entry'];

/** Undefined where it is none of hers. Of a refusal and of mail whose envelope is not known: undefined, if she has bounds. */
export function ownMail(facts: MailFacts, bounds: Bounds): MailFacts | undefined {
  if (bounds.domains === undefined) return facts;
  if (facts.kind !== 'queued' && facts.kind !== 'left') return undefined;
  const { entry } = facts;
  if (bounds.hasAddress(entry.reversePath)) return facts;
  const recipients = entry.recipients.filter(({ recipient }) => isOwn(recipient, bounds));
  return recipients.length === 0 ? undefined : { ...facts, entry: { ...entry, recipients } };
}

/** `entry`: the whole message, not what `ownMail` has left of it. */
export function isOwnToChange({ reversePath, origin, recipients }: Entry, bounds: Bounds): boolean {
  if (bounds.domains === undefined) return true;
  const isSent = origin.kind === 'submission' && origin.user !== undefined && bounds.hasAddress(reversePath);
  return isSent || recipients.every(({ recipient }) => isOwn(recipient, bounds));
}

function isOwn({ address, original }: Entry['recipients'][number]['recipient'], bounds: Bounds): boolean {
  return bounds.hasAddress(address) || (original !== undefined && bounds.hasAddress(original));
}
