import type { RefusedMail } from '#services/listener/contract.ts';
import { stateOf } from '#shared/mail/message-search.ts';
import { formatReply } from '#shared/mail/reply.ts';
import { formatTime } from '#shared/units.ts';
import type { FoundMail } from '../../reports/mail/search.ts';
import { refusalExplained } from '../../reports/mail/why/refusal.ts';
import { adviceText } from '../../reports/mail/why/sentence.ts';
import type { FoundRow } from '../../schemas/messages.ts';

/** What a search finds, as rows of a list. Pure. */

export function rowOf(found: FoundMail): FoundRow {
  return found.kind === 'message' ? messageRow(found) : refusalRow(found);
}

function messageRow({ message }: Extract<FoundMail, { kind: 'message' }>): FoundRow {
  const { queueId, node, arrived, reversePath, recipients, counts, size } = message;
  const [first] = recipients;
  const last = first?.last;
  return {
    ...{ key: queueId, id: queueId, node, state: stateOf(message), at: arrived, from: reversePath, size },
    ...(first !== undefined && { to: first.original ?? first.address }),
    others: Object.values(counts).reduce((sum, n) => sum + n, 0) - 1,
    ...(last !== undefined && { reply: formatReply(last.reply) }),
    ...(last?.host !== undefined && { host: last.host }),
  };
}

function refusalRow({ id, node, refusal }: Extract<FoundMail, { kind: 'refused' }>): FoundRow {
  const { at, from, to, recipients, reply, step, session = '', trace = '', client } = refusal;
  return {
    key: [id, node, session, trace, step, from, to[0], client.address].join(' '),
    ...{ node, state: 'refused', at, others: Math.max(0, recipients - 1) },
    ...(from !== undefined && { from }),
    ...(to[0] !== undefined && { to: to[0] }),
    ...(reply !== undefined && { reply: formatReply(reply) }),
    host: client.address,
    refusal: {
      sentence: adviceText(refusalExplained({ kind: 'refused', node, refusal })),
      facts: refusalFacts(node, refusal),
    },
  };
}

/** What is known of a refusal, by its names. */
export function refusalFacts(node: string, refusal: RefusedMail): [name: string, value: string][] {
  const { client, why = [], filters = {}, count, first } = refusal;
  const optional = (name: string, value: string | undefined): [string, string][] =>
    value === undefined ? [] : [[name, value]];
  return [
    ['Node', node],
    ['Listener', refusal.listener],
    ...optional('Times', count > 1 ? `${count}, since ${formatTime(first)}` : undefined),
    ['Client', client.address],
    ...optional('Name', client.name),
    ...optional('EHLO', client.helo),
    ...optional('User', refusal.user),
    ['Step', refusal.step],
    ...optional('From', refusal.from),
    ...refusal.to.map((to): [string, string] => ['To', to]),
    ...optional('Message-ID', refusal.messageId),
    ...why.map((step): [string, string] => ['Because', step]),
    ...Object.entries(filters).map(([filter, said]): [string, string] => [`Filter ${filter}`, said]),
    ...optional('Error', refusal.error),
    ...optional('Session', refusal.session),
    ...optional('Trace', refusal.trace),
    ...optional('Queue id', refusal.queueId),
  ];
}
