import { directiveText } from '#shared/directive.ts';
import { describeMessageTls } from '#shared/mail/message-tls.ts';
import { formatReply } from '#shared/mail/reply.ts';
import { formatSize } from '#shared/units.ts';
import type { Step } from '../../schemas/messages.ts';
import { attemptsAt, type SharedAttempt } from './attempts.ts';
import type { Entry } from './queued.ts';

/** The journey of a message through the cluster, as steps. Pure. Times are ms since 1970. */

type Recipient = Entry['recipients'][number];

/** Oldest first; what is to come is at the end. */
export function stepsOf(entry: Entry, isFinished: boolean): Step[] {
  const { arrived, node, origin, hold, takenOver, notices = [] } = entry;
  const { listener, client, user, tls } = origin;
  const name = client.name ?? client.helo;
  const past: Step[] = [
    ...attemptsAt(entry).map(attemptStep),
    ...(hold === undefined ? [] : [{ kind: 'held' as const, at: hold.at, by: holderText(hold) }]),
    ...(takenOver === undefined ? [] : [{ kind: 'taken-over' as const, ...takenOver, node }]),
    ...notices.map((one): Step => ({ kind: 'notice', at: one.at, notice: one.kind, to: one.to, id: one.queueId })),
  ];
  return [
    {
      kind: 'accepted',
      at: arrived,
      node: takenOver?.from ?? node,
      listener,
      client: name === '' ? `[${client.address}]` : `${name} [${client.address}]`,
      ...(user !== undefined && { user }),
      ...(tls !== undefined && { tls: { protocol: tls.protocol, cipher: tls.cipher } }),
    },
    ...past.sort((a, b) => a.at - b.at),
    ...(isFinished || entry.state === 'hold' ? [] : nextSteps(entry)),
  ];
}

function attemptStep({ attempt, to, status }: SharedAttempt): Step {
  const { at, nextHop, host, reply, tls, signatures = [], others = [] } = attempt;
  return {
    kind: 'attempt',
    ...{ at, to, outcome: status === undefined || status === 'waiting' ? 'tried' : status, reply: formatReply(reply) },
    ...(nextHop !== undefined && nextHop !== '' && { nextHop }),
    ...(host !== undefined && { host }),
    ...(tls !== undefined && { tls }),
    // The peer is another machine where it has an address.
    clear: tls === undefined && host !== undefined && /\[.+\]/.test(host),
    signatures: signatures.map(({ domain, selector }) => `${selector}.${domain}`),
    others: others.map((one) => ({ host: one.host ?? 'no host', reply: formatReply(one.reply) })),
  };
}

/** The next attempts, those of recipients that go together as one. */
function nextSteps({ recipients }: Entry): Step[] {
  const waiting = recipients.flatMap(({ status, nextHop, recipient: { address }, suspended }) =>
    status.state === 'deferred' && suspended === undefined ? [{ at: status.nextAttempt, nextHop, address }] : [],
  );
  return [...Map.groupBy(waiting, ({ at, nextHop }) => JSON.stringify([at, nextHop])).values()]
    .map((all): Extract<Step, { kind: 'next' }> => {
      const { at = 0, nextHop = '' } = all[0] ?? {};
      return { kind: 'next', at, nextHop, to: all.map(({ address }) => address) };
    })
    .sort((a, b) => a.at - b.at);
}

const HOLDERS: Record<NonNullable<Entry['hold']>['by'], string> = {
  operator: 'an operator',
  filter: 'a mail filter',
  rule: 'a rule',
  tls: 'what it asks of TLS, which no host can do',
  'dead-letter': 'its null reverse-path: it could not be delivered, and cannot be returned',
  journal: 'the archive, which does not take its copy',
};

function holderText({ by, rule }: NonNullable<Entry['hold']>): string {
  return rule === undefined ? HOLDERS[by] : `${HOLDERS[by]} (${rule})`;
}

/** What else is known of it, by its names. */
export function factsOf(entry: Entry, second: string | undefined): [name: string, value: string][] {
  const { size, origin, trace, junk, via, tls, filters = {}, alone } = entry;
  return [
    ['Size', formatSize(size)],
    ...(origin.user === undefined ? [] : [['User', origin.user] as [string, string]]),
    ['Session', origin.session],
    ['Trace', trace],
    ...(second === undefined ? [] : [['Second copy', `on ${second}`] as [string, string]]),
    ...(alone === true ? [['Second copy', 'none: it was accepted with one'] as [string, string]] : []),
    ...(junk === true ? [['Junk', 'yes'] as [string, string]] : []),
    ...(via === undefined ? [] : [['Rerouted', `to ${via}, by an operator`] as [string, string]]),
    ...(tls === undefined ? [] : [['Asks for', describeMessageTls(tls)] as [string, string]]),
    ...Object.entries(filters).map(([filter, said]): [string, string] => [`Filter ${filter}`, said]),
  ];
}

/** What is to be known of a recipient beside its state. */
export function notesOf({ recipient, suspended, redirected, limit, dead }: Recipient): string[] {
  const { journal, redirectedBy, reversePath } = recipient;
  return [
    ...(journal === undefined ? [] : [`archive of rule ${journal.rule}`]),
    ...(reversePath === undefined ? [] : [`from ${reversePath}`]),
    ...(redirectedBy === undefined ? [] : [`redirected by rule ${redirectedBy}`]),
    ...(redirected === undefined ? [] : [`redirected ${directiveText(redirected)}`]),
    ...(suspended === undefined ? [] : [`suspended ${directiveText(suspended)}`]),
    ...(limit === undefined ? [] : [`waits for its turn, ${limit}`]),
    ...(dead === true ? ['cannot be delivered, and not returned'] : []),
  ];
}
