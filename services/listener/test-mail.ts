import type { Socket } from 'node:net';
import type { z } from 'zod';
import type { ListenerConfig } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { QUEUE_ID } from '#shared/ids.ts';
import { Secret } from '#shared/secret.ts';
import { MESSAGE, sendMail } from '#shared/smtp/client.ts';
import { testMessage } from '#shared/smtp/test-message.ts';
import type { listenerContract } from './contract.ts';
import type { explainSession } from './explain.ts';
import type { ClientAddresses } from './gateways.ts';
import { speaksProxy } from './listener.ts';

/**
 * A test message of an operator. This process is its client: it connects to its own port and speaks SMTP like any other, so
 * that everything is as it is for clients on this machine, and no rule is passed by. Policy is asked first what it would say.
 */

type Operation = (typeof listenerContract.operations)['test-send'];
type Question = z.output<Operation['request']>;
type Sent = z.output<Operation['reply']>;
type Explained = Awaited<ReturnType<typeof explainSession>>;

export type TestMailDeps = {
  settings: Settings;
  gateways: Pick<ClientAddresses, 'has'>;
  /** The open listeners, and where they listen. */
  listeners: readonly { config: ListenerConfig; port: number }[];
  explain(question: Parameters<typeof explainSession>[0]): Promise<Explained>;
};

/** Rejects with `not-found` where there is no such listener, or as policy does. */
export async function sendTestMail(question: Question, password: Uint8Array, deps: TestMailDeps): Promise<Sent> {
  const { listener: name, from, to, user } = question;
  const { name: node, hostname } = deps.settings.current.node;
  const found = deps.listeners.find(({ config }) => config.name === name);
  if (found === undefined) {
    const names = deps.listeners.map(({ config }) => config.name).join(', ') || 'none';
    throw new SealpostError('not-found', `node ${node} has no open listener "${name}"; open: ${names}`);
  }
  const { config, port } = found;
  const client = ownAddress(config.address);
  const message = testMessage({ ...question, to: [to] }, hostname);
  const explained = await deps.explain({
    ...{ client, helo: hostname, from, to, listener: name, ...(user !== undefined && { user }) },
    message: { header: headerOf(message), size: Buffer.byteLength(message), bodyHashes: [] },
  });
  const steps: Sent['steps'] = [];
  const whyOf = reasons(explained);
  const about = { node, listener: name, kind: config.kind, client, steps, notes: explained.notes };
  const findings = { ...(explained.message !== undefined && { message: explained.message }) };
  try {
    const { reply, tls } = await sendMail({
      ...{ host: client, port, serverName: hostname, trusted: [], verify: false, helo: hostname },
      tls: config.tls === 'implicit' || config.tls === 'none' ? config.tls : 'offered',
      ...(user !== undefined && { login: { user, password: new Secret(Buffer.from(password).toString()) } }),
      ...{ from, to: [to], message },
      ...(speaksProxy(config.proxy, client, deps.gateways.has(client)) && { opening: proxyHeader }),
      onReply: (command, said) => {
        const code = Number(said.at(-1)?.slice(0, 3));
        steps.push({ command, code, reply: said, why: whyOf(command, code) });
      },
    });
    const queueId = reply.split(/[^0-9A-Z]+/).find((word) => QUEUE_ID.test(word));
    return { ...about, ...findings, ...(tls !== undefined && { tls }), ...(queueId !== undefined && { queueId }) };
  } catch (error) {
    // A refusal is the last step.
    return { ...about, ...findings, ...(errorCode(error) !== 'refused' && { error: errorText(error) }) };
  }
}

/** The address under which this machine reaches its own listener, and comes to it. */
function ownAddress(address: string): string {
  return address === '::' || address === '0.0.0.0' ? '127.0.0.1' : address;
}

/** Up to its empty line, which it has. */
function headerOf(message: string): string {
  const bytes = Buffer.from(message).toString('latin1');
  return bytes.slice(0, bytes.indexOf('\r\n\r\n') + 4);
}

/** Where the listener takes this machine for a proxy: it speaks for itself. */
function proxyHeader({ localAddress = '', remoteAddress = '', localPort, remotePort }: Socket): string {
  const family = localAddress.includes(':') ? 'TCP6' : 'TCP4';
  return `PROXY ${family} ${localAddress} ${remoteAddress} ${localPort} ${remotePort}\r\n`;
}

/** What policy said at a step, once: EHLO is said again after STARTTLS. It was not told the password. */
function reasons({ steps }: Explained): (command: string, code: number) => string[] {
  const left = steps.map((step) => (/^a message of/.test(step.command) ? { ...step, command: MESSAGE } : step));
  return (command, code) => {
    const at = left.findIndex((step) => step.command === command);
    const step = at < 0 ? undefined : left.splice(at, 1)[0];
    if (step !== undefined && command.startsWith('AUTH') && step.code !== code)
      return [`with the right password the reply would be ${step.code}`];
    return step?.why ?? [];
  };
}
