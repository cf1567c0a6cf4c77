import { directiveText } from '#shared/directive.ts';
import { formatReply } from '#shared/mail/reply.ts';
import { formatDuration, formatTime } from '#shared/units.ts';
import { isOpen, waitingCause } from './cause.ts';
import { copyExplained, damagedExplained } from './copy.ts';
import type { Asked, Explanation, LeftCause, LeftMail, MailFacts, QueuedMail, WaitingCause } from './facts.ts';
import { waitingHelp } from './help.ts';
import { nextText } from './next-attempt.ts';
import { refusalExplained } from './refusal.ts';
import { reroutedBy, reroutedText } from './rerouted.ts';

/**
 * Why a mail did not arrive, or what became of it, in one sentence. Pure: `now` is ms since 1970. Of several recipients
 * `about` (an address, as it is delivered or as it was named) comes first, then the one that waits, then one that failed.
 */
export function explained(facts: MailFacts, now: number, about?: string): Explanation {
  switch (facts.kind) {
    case 'queued':
      return queuedExplained(facts, now, about);
    case 'left':
      return leftExplained(facts, now, about);
    case 'copied':
      return copyExplained(facts, now);
    case 'damaged':
      return damagedExplained(facts);
    case 'refused':
      return refusalExplained(facts);
  }
}

type Entry = QueuedMail['entry'];
type Recipient = Entry['recipients'][number];

/** The recipient that the sentence is about, and how many more there are. */
function chosen({ recipients }: Entry, about: string | undefined): { recipient: Recipient; others: number } {
  const ranks = [
    (r: Recipient) => about !== undefined && isNamed(r, about),
    isOpen,
    (r: Recipient) => r.status.state !== 'delivered',
  ];
  const rank = (r: Recipient): number => ranks.reduce((sum, holds) => sum * 2 + (holds(r) ? 1 : 0), 0);
  const [first, ...rest] = recipients;
  if (first === undefined) throw new Error('a message without recipients');
  return { recipient: rest.reduce((a, b) => (rank(b) > rank(a) ? b : a), first), others: rest.length };
}

function isNamed({ recipient: { address, original } }: Recipient, about: string): boolean {
  return [address, original].some((one) => one?.toLowerCase() === about.toLowerCase());
}

/** `for <bob@example.net> (and 3 more recipients: 1 delivered, 2 deferred)` */
function forWhom(entry: Entry, recipient: Recipient, others: number): string {
  if (others === 0) return `<${recipient.recipient.address}>`;
  const counts = new Map<string, number>();
  for (const r of entry.recipients)
    if (r !== recipient) counts.set(r.status.state, (counts.get(r.status.state) ?? 0) + 1);
  const states = [...counts].map(([state, count]) => `${count} ${state}`).join(', ');
  return `<${recipient.recipient.address}> (and ${others} more: ${states})`;
}

function common(entry: Entry, recipient: Recipient): Partial<Explanation> {
  const { node, queueId, takenOver } = entry;
  const rerouted = reroutedBy(entry, recipient);
  return {
    ...{ node, queueId, recipient: recipient.recipient.address },
    ...(rerouted.length > 0 && { rerouted }),
    ...(takenOver !== undefined && { takenOverFrom: takenOver.from }),
  };
}

function queuedExplained(facts: QueuedMail, now: number, about: string | undefined): Explanation {
  const { entry } = facts;
  const { recipient, others } = chosen(entry, about);
  if (!isOpen(recipient)) {
    // Others of the message wait; the one that was asked about does not.
    return leftExplained({ kind: 'left', entry, copy: false }, now, about);
  }
  const cause = waitingCause(facts, recipient, now);
  const { status } = recipient;
  const last = status.state === 'deferred' ? status : undefined;
  const took = takeOverText(entry);
  const next = last !== undefined && entry.state !== 'hold' ? last.nextAttempt : undefined;
  const until = recipient.suspended?.until ?? next;
  const help = waitingHelp(cause, facts, recipient);
  return {
    cause,
    sentence: `The mail for ${forWhom(entry, recipient, others)} waits in the queue of ${entry.node}${took}: ${waitText(cause, facts, recipient, now)}${reroutedText(entry, recipient, false)}.`,
    ...(help !== undefined && { help }),
    ...common(entry, recipient),
    ...(until !== undefined && { until }),
    ...(last?.outcome.host !== undefined && { host: last.outcome.host }),
    ...(last !== undefined && { reply: formatReply(last.outcome.reply) }),
    ...(recipient.limit !== undefined && { limit: recipient.limit }),
    ...(entry.hold?.rule !== undefined && { rule: entry.hold.rule }),
  };
}

function takeOverText({ takenOver }: Entry): string {
  return takenOver === undefined ? '' : `, which took it over from ${takenOver.from} at ${formatTime(takenOver.at)}`;
}

function waitText(cause: WaitingCause, { entry, queued }: QueuedMail, recipient: Recipient, now: number): string {
  const { status } = recipient;
  const last = status.state === 'deferred' ? status : undefined;
  const since = entry.hold === undefined ? '' : ` since ${formatTime(entry.hold.at)}`;
  const said = last === undefined ? '' : quoted(last.outcome.reply.text);
  const next = last === undefined ? '' : `; ${nextText(recipient, last, now)}`;
  switch (cause) {
    case 'held-by-operator':
      return `an operator holds it${since}`;
    case 'held-by-filter':
      return `a mail filter held it${since}${filtersText(entry.filters)}`;
    case 'held-by-rule':
      return `the rule "${entry.hold?.rule ?? ''}" held it${since}`;
    case 'suspended':
      return suspendedText(recipient.suspended);
    case 'held-for-tls':
      return `it is held${since}, because no host can do what it asks of TLS: ${said}`;
    case 'dead-letter':
      return `delivery failed, and it is held${since}, because it has the null reverse-path and cannot be returned: ${said}`;
    case 'held-for-archive':
      return `the archive of rule "${entry.hold?.rule ?? ''}" does not take its copy, and it is held${since}: ${said}`;
    case 'held':
      return `it is held`;
    case 'store-failing':
      return `the store of this node takes no writes, and no attempt begins until it does: ${quoted(queued.storeFailure ?? '')}`;
    case 'blocked':
      return `this node must not deliver it now, because another node may do that: ${queued.obstacle ?? said}`;
    case 'rate-limit':
      return `its turn has not come under rates.destinations: ${recipient.limit ?? ''}`;
    case 'under-way':
      return `an attempt at ${recipient.nextHop} is under way`;
    case 'next-hop-busy':
      return `as many attempts as may be are under way to ${queued.congested ?? recipient.nextHop}, and it follows them`;
    case 'first-attempt':
      return `its first attempt, at ${recipient.nextHop}, is due`;
    default:
      return `${troubleText(cause, recipient, last)}${next}`;
  }
}

function troubleText(
  cause: WaitingCause,
  { nextHop }: Recipient,
  last: Extract<Recipient['status'], { state: 'deferred' }> | undefined,
): string {
  if (last === undefined) return 'no route leads to its domain';
  const { host, reply, at } = last.outcome;
  const said = quoted(reply.text);
  const tried = `attempt ${last.attempts}, at ${formatTime(at)}`;
  switch (cause) {
    case 'no-route':
      return `no usable route leads to its domain: ${said}`;
    case 'no-address':
      return `there is no address to send it to, or from: ${said}`;
    case 'dns-failing':
      return `DNS does not answer for its destination: ${said}`;
    case 'unreachable':
      return `its destination cannot be reached (${tried}): ${said}`;
    case 'connection-lost':
      return `the connection to ${host ?? nextHop} broke off (${tried}): ${said}`;
    case 'login-failed':
      return `the log-in of the route failed at ${host ?? nextHop}: ${said}`;
    case 'tls-missing':
      return `${host ?? nextHop} does not offer the TLS that is wanted (${tried}): ${said}`;
    case 'key-missing':
      return `it cannot be signed, and its domain sends nothing without a signature: ${said}`;
    case 'signer-silent':
      return `it must be signed, and ${reply.text}`;
    case 'disk-full':
      return `the disk of this node has no room: ${said}`;
    case 'deferred-by-host':
      return `${host ?? nextHop} deferred it (${tried}) with ${quoted(formatReply(reply))}`;
    default:
      return `this node could not deliver it: ${said}`;
  }
}

function suspendedText(suspended: Recipient['suspended']): string {
  if (suspended === undefined) return 'it is suspended';
  return `the mail ${ABOUT[suspended.about]} ${suspended.name} is suspended ${directiveText(suspended)}`;
}

const ABOUT = { domain: 'to', sender: 'from', destination: 'at the next hop' } as const;

const quoted = (text: string): string => `"${text}"`;

function filtersText(filters: Record<string, string> | undefined): string {
  const said = Object.entries(filters ?? {}).map(([name, words]) => `${name}: ${words}`);
  return said.length === 0 ? '' : ` (${said.join('; ')})`;
}

function leftExplained({ entry, copy }: LeftMail, _now: number, about: string | undefined): Explanation {
  const { recipient, others } = chosen(entry, about);
  const { status } = recipient;
  if (status.state === 'waiting' || status.state === 'deferred') throw new Error('a receipt of mail that waits');
  const { at, host, reply } = status.outcome;
  const said = formatReply(reply);
  const cause = leftCause(entry, recipient);
  const whom = forWhom(entry, recipient, others);
  const how = {
    delivered: `was delivered by ${entry.node} at ${formatTime(at)}${host === undefined ? '' : ` to ${host}`}, which said ${quoted(said)}`,
    returned: `was refused for good at ${formatTime(at)}${host === undefined ? '' : ` by ${host}`}, with ${quoted(said)}${noticeText(entry)}`,
    failed: `was refused for good at ${formatTime(at)}${host === undefined ? '' : ` by ${host}`}, with ${quoted(said)}${noticeText(entry)}`,
    expired: `was given up by ${entry.node} at ${formatTime(at)}, since its time in the queue was over; the last word was ${quoted(said)}${host === undefined ? '' : `, of ${host}`}${noticeText(entry)}`,
    removed: `was taken out of the queue of ${entry.node} by an operator at ${formatTime(at)}${noticeText(entry)}`,
  }[cause];
  const source = copy ? `; this is from the node that had its second copy` : '';
  return {
    cause,
    sentence: `The mail for ${whom} ${how}${reroutedText(entry, recipient, true)}${takenOverText(entry)}${source}.`,
    ...common(entry, recipient),
    ...(host !== undefined && { host }),
    reply: said,
  };
}

function takenOverText({ takenOver, node }: Entry): string {
  if (takenOver === undefined) return '';
  return `; ${node} had taken it over from ${takenOver.from} at ${formatTime(takenOver.at)}`;
}

function leftCause({ notices }: Entry, { status }: Recipient): LeftCause {
  if (status.state === 'delivered' || status.state === 'expired') return status.state;
  const outcome = status.state === 'failed' ? status.outcome : undefined;
  // queue/settling/settlement.ts of the router
  if (outcome?.host === undefined && outcome?.reply.code === 550 && outcome.reply.enhanced === '5.3.0')
    return 'removed';
  return notices?.some(({ kind }) => kind === 'failed') ? 'returned' : 'failed';
}

function noticeText({ notices = [], reversePath }: Entry): string {
  const failed = notices.filter(({ kind }) => kind === 'failed');
  if (failed.length > 0)
    return `; a notice went to ${failed.map(({ to, queueId }) => `<${to}> (${queueId})`).join(' and ')}`;
  return reversePath === ''
    ? '; nobody was told, because it has the null reverse-path'
    : '; no notice was sent to its sender';
}

/** The sentence with what to do, for people. */
export function adviceText({ sentence, help }: Pick<Explanation, 'sentence' | 'help'>): string {
  return help === undefined ? sentence : `${sentence} To do: ${help}.`;
}

/** Nothing was found. */
export function unknownExplained({ what, answered, silent, keep, refusalsSince }: Asked): Explanation {
  const kept = keep === undefined ? '' : `; receipts are kept for ${formatDuration(keep)}`;
  const since = Object.values(refusalsSince);
  const refusals = since.length === 0 ? '' : `, refusals are known since ${formatTime(Math.max(...since))}`;
  const asked =
    answered.length === 0 ? 'no node answers' : `neither queue, receipts nor refusals of ${list(answered)} have it`;
  const missing =
    silent.length === 0 ? '' : `; ${list(silent.map(({ node }) => node))} did not answer, and may know of it`;
  const sentence = `Nothing is known of ${what}: ${asked}${missing}${kept}${refusals}.`;
  if (silent.length === 0) return { cause: 'unknown', sentence };
  const help = `start ${list(silent.map(({ node }) => node))}, which then delivers what it has, and ask again; "sealpost cluster status" says what else is away`;
  return { cause: 'unknown', sentence, help };
}

function list(names: readonly string[]): string {
  return names.length < 2 ? (names[0] ?? '') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
