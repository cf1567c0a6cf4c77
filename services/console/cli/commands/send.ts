import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Config, ListenerConfig } from '#cluster/config/schema/schema.ts';
import { listUsers } from '#cluster/config/users/edit.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import type { Secret } from '#shared/secret.ts';
import { type SmtpMail, sendMail } from '#shared/smtp/client.ts';
import { TEST_ADDRESS, testMessage } from '#shared/smtp/test-message.ts';
import { type CommonOptions, configFile, print, readConfig, withCommon } from '../context.ts';
import { usageError } from '../exit.ts';
import { askPassword } from '../password.ts';
import { SANDBOX_FOLDER, SANDBOX_USER, sandboxPassword } from '../start/sandbox.ts';
import { clean } from '../table.ts';

type SendOptions = CommonOptions & {
  to: string[];
  from?: string;
  user?: string;
  subject: string;
  text: string;
  passwordStdin?: boolean;
};

export function register(program: Command): void {
  withCommon(program.command('send'))
    .description("submit a test message to this node's submission port, as a user")
    .requiredOption('-t, --to <address...>', 'recipients')
    .option('--user <name>', `user that logs in (sandbox: ${SANDBOX_USER.name})`)
    .option('--from <address>', 'the sender (default: the first address of the user)')
    .option('--subject <text>', 'subject', 'A first message')
    .option('--text <text>', 'what it says', 'Hello from Sealpost.')
    .option('--password-stdin', 'read the password from standard input')
    .action(send);
}

async function send(options: SendOptions): Promise<void> {
  const config = await readConfig(options, ['node', 'listeners', 'tls', 'directory']);
  const listener = submissionListener(config);
  const user = options.user ?? (isSandbox(options) ? SANDBOX_USER.name : undefined);
  if (user === undefined) throw usageError('name the user that logs in: --user <name>');
  for (const address of options.to) requireAddress(address);
  const from = options.from ?? (await firstAddress(config, user));
  requireAddress(from);
  const mail: SmtpMail = {
    // A listener on every address is on loopback too.
    host: ['::', '0.0.0.0'].includes(listener.address) ? 'localhost' : listener.address,
    port: listener.port,
    tls: listener.tls === 'implicit' ? 'implicit' : 'starttls',
    serverName: config.node.hostname,
    trusted: config.tls?.certificate === undefined ? [] : [await readFile(config.tls.certificate, 'utf8')],
    verify: true,
    helo: 'localhost',
    login: { user, password: await password(options, user) },
    from,
    to: options.to,
    message: testMessage({ ...options, from }, config.node.hostname),
  };
  const { reply, tls } = await sendMail(mail);
  print(options, { reply, ...tls, from, to: options.to }, () => {
    const next = isSandbox(options) ? '\nSee it: npx sealpost capture list, npx sealpost capture show' : '';
    return `accepted over ${tls?.protocol}: ${clean(reply)}${next}`;
  });
}

function isSandbox(options: CommonOptions): boolean {
  return configFile(options) === undefined;
}

/** TLS from the first byte is preferred (RFC 8314 §3.3). */
function submissionListener({ listeners }: Config): ListenerConfig {
  const usable = listeners.filter((l) => l.kind === 'submission' && l.tls !== 'none' && l.port !== 0);
  const found = usable.find((l) => l.tls === 'implicit') ?? usable[0];
  if (found !== undefined) return found;
  throw new SealpostError('no-submission', 'the configuration has no submission listener with TLS and a fixed port');
}

async function firstAddress({ directory }: Config, user: string): Promise<string> {
  const users = directory.users === undefined ? [] : await usersOf(directory.users);
  const address = users
    .find((u) => u.name.toLowerCase() === user.toLowerCase())
    ?.addresses.find((a) => /^[^@*]+@/.test(a));
  if (address !== undefined) return address;
  throw usageError(`user ${user} has no address in the users file: say which with --from <address>`);
}

async function usersOf(file: string): Promise<{ name: string; addresses: string[] }[]> {
  try {
    return await listUsers(file);
  } catch (error) {
    if (errorCode(error) !== 'not-found') throw error;
    throw new SealpostError('no-node', `there is no users file ${file} yet: start the node with "npx sealpost start"`);
  }
}

async function password(options: SendOptions, user: string): Promise<Secret> {
  if (isSandbox(options) && user === SANDBOX_USER.name && options.passwordStdin !== true) {
    return sandboxPassword(resolve(SANDBOX_FOLDER));
  }
  return askPassword(`Password of ${user}`, { fromStdin: options.passwordStdin ?? false, twice: false });
}

function requireAddress(address: string): void {
  if (!TEST_ADDRESS.test(address)) throw usageError(`"${clean(address)}" is not a mail address`);
}
