import { formatReply } from '#shared/mail/reply.ts';
import { formatTime } from '#shared/units.ts';
import type { DoorCause, Explanation, RefusedAtDoor } from './facts.ts';
import { refusalHelp } from './help.ts';

/** Why a listener refused a mail, in one sentence. Pure. */

export function refusalExplained(facts: RefusedAtDoor): Explanation {
  const { node, refusal } = facts;
  const { client, reply, step, queueId } = refusal;
  const cause = doorCause(refusal);
  const name = client.helo ?? client.name;
  const peer = `${client.address}${name === undefined ? '' : ` (${name})`}`;
  const help = refusalHelp(facts);
  return {
    cause,
    sentence: `${textOf(cause, node, refusal, peer)}.`,
    ...(help !== undefined && { help }),
    ...{ node, step, client: client.address },
    ...(reply !== undefined && { reply: formatReply(reply) }),
    ...(queueId !== undefined && { queueId }),
    ...(refusal.to[0] !== undefined && { recipient: refusal.to[0] }),
  };
}

function doorCause({ discarded, reply, step }: RefusedAtDoor['refusal']): DoorCause {
  if (discarded) return 'discarded';
  if (reply === undefined) return step === 'connect' ? 'connection-failed' : 'client-left';
  return reply.code < 500 ? 'refused-for-now' : 'refused';
}

function textOf(cause: DoorCause, node: string, refusal: RefusedAtDoor['refusal'], peer: string): string {
  const { error = '', reply, step, listener } = refusal;
  const said = reply === undefined ? '' : `"${formatReply(reply)}"`;
  const mail = `mail ${envelopeText(refusal)}`;
  const when = whenText(refusal);
  switch (cause) {
    case 'discarded':
      return `A mail filter of ${node} threw away the ${mail} from the client ${peer}, which was told that it was accepted, ${when}${filtersText(refusal)}`;
    case 'client-left':
      return `The client ${peer} left ${node} in the middle of the ${mail}, ${when}`;
    case 'connection-failed':
      return `A connection of the client ${peer} to listener ${listener} of ${node} failed, ${when}: ${error}`;
    default: {
      const passing = cause === 'refused-for-now' ? ' for now' : '';
      return `${node} refused ${subjectText(refusal)} of the client ${peer}${passing} ${stepText(step)}, ${when}, with ${said}${whyText(refusal)}${filtersText(refusal)}`;
    }
  }
}

function subjectText(refusal: RefusedAtDoor['refusal']): string {
  switch (refusal.step) {
    case 'connect':
      return 'the connection';
    case 'AUTH':
      return refusal.user === undefined ? 'the log-in' : `the log-in as ${refusal.user}`;
    case 'MAIL':
    case 'RCPT':
    case 'DATA':
    case 'message':
      return `the mail ${envelopeText(refusal)}`;
    default:
      return 'a command';
  }
}

function stepText(step: string): string {
  switch (step) {
    case 'connect':
      return 'before its greeting';
    case 'message':
      return 'at its end';
    case 'command':
      return '(none of SMTP)';
    default:
      return `at ${step}`;
  }
}

function envelopeText({ from, to, recipients, user, step }: RefusedAtDoor['refusal']): string {
  const parts = [
    ...(from === undefined ? [] : [`from <${from}>`]),
    ...(to[0] === undefined ? [] : [`for <${to[0]}>${recipients > 1 ? ` and ${recipients - 1} more` : ''}`]),
    ...(user === undefined || step === 'AUTH' ? [] : [`(user ${user})`]),
  ];
  return parts.join(' ');
}

function whenText({ at, first, count }: RefusedAtDoor['refusal']): string {
  return count === 1 ? `at ${formatTime(at)}` : `${count} times, from ${formatTime(first)} to ${formatTime(at)}`;
}

/** Where policy says more than the reply does. */
function whyText({ why = [], reply, error }: RefusedAtDoor['refusal']): string {
  const reason = error ?? why.at(-1);
  return reason === undefined || reply?.text.includes(reason) ? '' : `: ${reason}`;
}

function filtersText({ filters = {} }: RefusedAtDoor['refusal']): string {
  const said = Object.entries(filters).map(([name, words]) => `${name}: ${words}`);
  return said.length === 0 ? '' : ` (${said.join('; ')})`;
}
