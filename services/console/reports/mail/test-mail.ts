import { listenerContract } from '#services/listener/contract.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { TestListeners, TestMailReply, TestMailRequest } from '../../schemas/test-mail.ts';
import type { Clients, Cluster } from '../clients.ts';
import { authenticationResults } from './authentication.ts';
import { nodesOf, unheard } from './routers.ts';

/** A test message through a listener of any node: the listener sends it to itself, so the console needs to reach none by SMTP. */

export async function findListeners(cluster: Cluster): Promise<TestListeners> {
  const listener = cluster.client(listenerContract);
  const { up, silent: unheardOf } = nodesOf(await cluster.meet(), 'listener');
  const silent = unheardOf.map((node) => ({ node, error: errorText(unheard()) }));
  const answers = await Promise.allSettled(up.map((node) => listener['status-show']({}, { node })));
  const listeners = answers.flatMap((answer, n) => {
    const node = up[n] ?? '';
    if (answer.status === 'fulfilled')
      return answer.value.listeners.map(({ name, kind, port, tls }) => ({ node, name, kind, port, tls }));
    silent.push({ node, error: errorText(answer.reason) });
    return [];
  });
  return { listeners, silent };
}

export async function sendTestMail(
  clients: Clients,
  { node, login, ...mail }: TestMailRequest,
): Promise<TestMailReply> {
  const request = { ...mail, ...(login !== undefined && { user: login.user }) };
  const bytes = Buffer.from(login?.password ?? '');
  try {
    const { steps, message, ...sent } = await clients.client(listenerContract)['test-send'](request, { node, bytes });
    const { verdict, authenticity } = message ?? {};
    return {
      ...sent,
      steps: steps.map(({ command, code, ...step }) => ({
        ...step,
        ...{ command: command || 'connects', refused: code >= 400 },
      })),
      fields: verdict?.action === 'accept' ? fieldsOf(verdict.prepend) : [],
      authentication: authenticity === undefined ? [] : authenticationResults(authenticity),
    };
  } catch (error) {
    throw errorCode(error) === CALL_ERRORS.unavailable ? unreachable(node, error) : error;
  }
}

/** Each as one line, as UTF-8 (RFC 6532). */
function fieldsOf(prepend: readonly string[]): string[] {
  return prepend.map((field) =>
    Buffer.from(field, 'latin1')
      .toString('utf8')
      .trimEnd()
      .replace(/\r\n[ \t]+/g, ' '),
  );
}

function unreachable(node: string, error: unknown): SealpostError {
  const text = `no listener of node ${node} takes test messages (${errorText(error)}): it does not run, is of an earlier version, or the console may not ask it`;
  const help = '"sealpost cluster status" shows what runs, "sealpost cluster nats-config" writes permissions anew';
  return new SealpostError(CALL_ERRORS.unavailable, `${text}; ${help}`);
}
