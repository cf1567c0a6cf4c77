import type { Command } from 'commander';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { formatTime } from '#shared/units.ts';
import type { TestResult } from '#shared/webhooks/status.ts';
import type { Sender, SenderStatus } from '../../reports/doctor/finding.ts';
import { gatherWebhooks, senderClient, sendersOf, webhookState } from '../../reports/doctor/webhooks.ts';
import { type Caller, type CommonOptions, openCaller, print, withCommon } from '../context.ts';
import { EXIT } from '../exit.ts';
import { tellUndone } from '../mail/undone.ts';
import { shorten, table } from '../table.ts';

/** `sealpost webhooks list | test | retry`: who is told of events, and whether that works. */

export function register(program: Command): void {
  const webhooks = program.command('webhooks').description('see who is told of events, and whether that works');
  const command = (name: string, text: string): Command => withCommon(webhooks.command(name).description(text));
  command('list', 'what waits for each webhook, and how its receiver answers').action(list);
  command('test', 'send an event of the type webhook.test from every process that sends events, and show the answers')
    .argument('<name>', 'name of the webhook in the configuration')
    .action(test);
  command('retry', 'send what waits now, also to a webhook that is paused because its receiver answered 410 Gone')
    .argument('<name>', 'name of the webhook in the configuration')
    .action(retry);
}

async function list(options: CommonOptions): Promise<void> {
  await using caller = await openCaller(options);
  const onSilent = ({ node, service }: Sender, error: unknown): void =>
    tellUndone(`what waits in the ${service} of node ${node} is not listed`, error);
  const senders = await gatherWebhooks(caller, await caller.meet(), onSilent);
  const rows = senders.flatMap(({ process: _, ...sender }) =>
    sender.webhooks.map((webhook) => ({ node: sender.node, service: sender.service, ...webhook })),
  );
  print(options, { webhooks: rows }, () => (rows.length === 0 ? 'no webhooks' : statusTable(senders)));
}

/** Characters of an error in a table. */
const ERROR_WIDTH = 80;

function statusTable(senders: readonly SenderStatus[]): string {
  const time = (at: number | undefined): string => (at === undefined ? '-' : formatTime(at));
  const rows = senders.flatMap(({ node, service, webhooks }) =>
    webhooks.map((webhook) => {
      const { name, waiting, oldest, dropped, lastSuccess, lastError } = webhook;
      const error = lastError === undefined ? '-' : `${formatTime(lastError.at)} ${lastError.text}`;
      return [
        ...[name, node, service, webhookState(webhook), String(waiting), time(oldest), String(dropped)],
        ...[time(lastSuccess), shorten(error, ERROR_WIDTH)],
      ];
    }),
  );
  const columns = ['WEBHOOK', 'NODE', 'SERVICE', 'STATE', 'WAITING', 'OLDEST', 'GIVEN UP', 'LAST TAKEN', 'LAST ERROR'];
  return table(
    columns,
    rows.toSorted(([a = ''], [b = '']) => (a < b ? -1 : Number(a > b))),
  );
}

async function test(name: string, options: CommonOptions): Promise<void> {
  await using caller = await openCaller(options);
  const senders = await sendersThere(caller);
  // One test for each process, whatever services it runs: they have their way to the receiver in common.
  const processes = [...Map.groupBy(senders, ({ process }) => process).values()].flatMap(([first]) => first ?? []);
  const results = await askAll(processes, name, async (sender) => {
    const result = await senderClient(caller, sender.service).test({ name }, { node: sender.process });
    return { node: sender.node, services: servicesOf(senders, sender), ...result };
  });
  const ok = results.length === processes.length && results.every(isTaken);
  print(options, { ok, results }, () => results.map(testText).join('\n'));
  if (!ok) process.exitCode ??= EXIT.failed;
}

const servicesOf = (senders: readonly Sender[], { process }: Sender): string[] =>
  senders.filter((one) => one.process === process).map(({ service }) => service);

const isTaken = ({ status = 0 }: TestResult): boolean => status >= 200 && status < 300;

function testText({ node, services, ms, status, body = '', error }: TestResult & { node: string; services: string[] }) {
  const from = `${services.join(' and ')} of node ${node}`;
  if (error !== undefined) return `${from}: not sent: ${error}`;
  const redirected = status !== undefined && status >= 300 && status < 400 ? ', and redirects are not followed' : '';
  return `${from}: answered ${status} in ${ms} ms${redirected}${body === '' ? '' : `\n${body}`}`;
}

async function retry(name: string, options: CommonOptions): Promise<void> {
  await using caller = await openCaller(options);
  const senders = await sendersThere(caller);
  const results = await askAll(senders, name, async ({ node, process, service }) => {
    const { waiting } = await senderClient(caller, service).retry({ name }, { node: process });
    return { node, service, waiting };
  });
  const waiting = results.reduce((sum, one) => sum + one.waiting, 0);
  const what = waiting === 1 ? '1 event is' : `${waiting} events are`;
  print(options, { waiting, results }, () =>
    waiting === 0 ? `nothing waits for ${name}` : `${what} sent to ${name} now`,
  );
}

async function sendersThere(caller: Caller): Promise<Sender[]> {
  const senders = sendersOf(await caller.meet());
  if (senders.length > 0) return senders;
  const text = 'no process that sends to webhooks is up: "sealpost cluster status" shows what is';
  throw new SealpostError(CALL_ERRORS.unavailable, text);
}

/** What each of them answers. Those that do not are told of; fails as the first of them where none does. */
async function askAll<T>(senders: readonly Sender[], name: string, ask: (sender: Sender) => Promise<T>): Promise<T[]> {
  const outcomes = await Promise.allSettled(senders.map(ask));
  const failures = outcomes.flatMap((outcome, n) => {
    const sender = senders[n];
    return outcome.status === 'fulfilled' || sender === undefined ? [] : [{ sender, error: outcome.reason as unknown }];
  });
  if (failures.length === senders.length) throw failures[0]?.error;
  for (const { sender, error } of failures) {
    const unknown = errorCode(error) === 'not-found' ? `${name} is not known to` : `${name} was not reached by`;
    tellUndone(`${unknown} the ${sender.service} of node ${sender.node}`, error);
  }
  return outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
}
