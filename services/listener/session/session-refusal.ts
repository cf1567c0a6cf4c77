import type { SessionFacts } from '#services/policy/contract.ts';
import type { Reply } from '#shared/mail/reply.ts';
import type { NewRefusal } from '../refusals/refusals.ts';
import type { MailTransaction } from './transaction.ts';

/** What a refusal in a session is of: the command, without secrets, and whose mail it was about. Pure. */

/** The session as it is at this moment. */
export type LoggedSession = { readonly facts: SessionFacts; readonly transaction: MailTransaction | undefined };

type SessionRefusal = {
  facts: NewRefusal;
  /** Whether a reply says more than that commands came in a wrong order, or what a refusal before it said already. */
  isNews(reply: Reply): boolean;
};

/** `tried`: the user that the client named to log in. */
export function refusalAt(
  command: string,
  { facts, transaction }: LoggedSession,
  tried: string | undefined,
): SessionRefusal {
  const { listener, client, user } = facts;
  const step = stepOf(command);
  const path = step === 'MAIL' || step === 'RCPT' ? pathOf(command) : undefined;
  const from = step === 'MAIL' ? path : transaction?.reversePath;
  const to = step === 'RCPT' && path !== undefined ? [path] : step === 'DATA' ? (transaction?.named ?? []) : [];
  const who = step === 'AUTH' ? (tried ?? user) : user;
  return {
    facts: {
      ...{ listener, step, to },
      client: {
        address: client.address,
        ...(client.name !== null && { name: client.name }),
        ...(client.helo !== '' && { helo: client.helo }),
      },
      ...(who !== undefined && { user: who }),
      ...(from !== undefined && { from }),
      ...(transaction !== undefined && { trace: transaction.trace }),
    },
    isNews: ({ code }) => code !== 503 && !(step === 'DATA' && code === 554 && transaction?.named.length === 0),
  };
}

function stepOf(command: string): string {
  if (command === '') return 'connect';
  if (command === '***') return 'AUTH';
  return /^[A-Za-z]+/.exec(command)?.[0].toUpperCase() ?? 'command';
}

/** The address as it was written, whether or not it is one. */
function pathOf(command: string): string | undefined {
  return /^(?:MAIL FROM|RCPT TO): *<?([^>\s]*)/i.exec(command)?.[1];
}
