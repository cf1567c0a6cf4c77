import type { Command } from 'commander';
import { listenerContract } from '#services/listener/contract.ts';
import type { ExplainedMessage } from '#services/policy/contract.ts';
import { parseIp } from '#shared/address/ip-address.ts';
import { type CommonOptions, openCaller, print, withCommon } from '../context.ts';
import { usageError } from '../exit.ts';
import { messageText } from '../mail/explained-message.ts';
import { readMessageFile } from '../mail/message-file.ts';
import { clean } from '../table.ts';

type ExplainOptions = CommonOptions & {
  client: string;
  helo?: string;
  from?: string;
  to: string;
  auth?: string;
  listener?: string;
  message?: string;
};

/** Names of hosts, the domain of a sender and a directory may all have to be asked. */
const TIMEOUT_MS = 30_000;

export function register(program: Command): void {
  withCommon(program.command('explain'))
    .description('what a client would be told that asks to send mail, and why; no mail is sent and nothing is counted')
    .requiredOption('--client <address>', 'IP address of the client')
    .requiredOption('--to <address>', 'recipient')
    .option('--helo <name>', 'what it says in EHLO (default: its address)')
    .option('--from <address>', 'reverse-path (default: the null reverse-path, <>)')
    .option('--auth <user>', 'it authenticates as this user, with the right password')
    .option(
      '--listener <name>',
      'listener that it connects to (default: the first for relay; with --auth, for submission)',
    )
    .option(
      '--message <file>',
      'it sends this message: what is found out about it, and what becomes of it; its body stays here',
    )
    .addHelpText(
      'after',
      '\nThe client uses TLS where the listener has it. Without --message, what is checked at its end is left out.',
    )
    .action(explain);
}

async function explain(options: ExplainOptions): Promise<void> {
  const { client, helo, to, auth: user, listener } = options;
  if (parseIp(client) === undefined) throw usageError(`"${client}" is not an IP address`);
  const from = options.from === undefined ? undefined : withoutBrackets(options.from);
  const message = options.message === undefined ? undefined : await readMessageFile(options.message);
  await using caller = await openCaller(options);
  const question = { client, helo, from, to: withoutBrackets(to), user, listener, message };
  const explained = await caller.client(listenerContract)['session-explain'](question, { timeout: TIMEOUT_MS });
  const accepted = (explained.steps.at(-1)?.code ?? 500) < 400;
  print(options, { accepted, ...explained }, () => {
    const { node, listener, kind, steps, notes, message: found } = explained;
    return [
      `${client} at listener ${listener} (${kind}) of node ${node}`,
      ...steps.flatMap(({ command, reply, why }) => [
        '',
        command === '' ? 'connects' : clean(command),
        ...reply.map((line) => `  ${clean(line)}`),
        ...why.map((step) => `      ${clean(step)}`),
      ]),
      ...(found === undefined ? [] : messageText(found)),
      '',
      accepted ? acceptedText(message !== undefined, found) : `refused: ${clean(steps.at(-1)?.reply.at(-1) ?? '')}`,
      ...notes.map((note) => `note: ${clean(note)}`),
    ].join('\n');
  });
}

function acceptedText(withMessage: boolean, found: ExplainedMessage | undefined): string {
  if (found !== undefined) return 'accepted';
  const earlier = withMessage ? '; this node is of an earlier version and does not look at the message' : '';
  return `accepted, as far as the recipient${earlier}`;
}

function withoutBrackets(path: string): string {
  return /^<(.*)>$/.exec(path)?.[1] ?? path;
}
