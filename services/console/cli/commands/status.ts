import type { Command } from 'commander';
import { type Member, memberContract } from '#cluster/members/member-contract.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { listenerContract } from '#services/listener/contract.ts';
import { policyContract } from '#services/policy/contract.ts';
import { routerContract } from '#services/router/contract.ts';
import { signerContract } from '#services/signer/contract.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { type Directive, directiveText } from '#shared/directive.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { StoreDamage } from '#shared/store-damage.ts';
import { consoleContract } from '../../contract.ts';
import { damageText, mailText } from '../../reports/damage.ts';
import { endingOf } from '../../reports/mail/directives.ts';
import { findRouters, unheard } from '../../reports/mail/routers.ts';
import { type Caller, type CommonOptions, openCaller, print, withCommon } from '../context.ts';
import { EXIT } from '../exit.ts';
import { pairs, table } from '../table.ts';

/** How long one service may take before it counts as silent. */
const PATIENCE = { timeout: 3000 };

type Answer<T> = { ok: true; value: T } | { ok: false; error: string };

export function register(program: Command): void {
  withCommon(program.command('status'))
    .description('which services answer, where they listen, what waits')
    .option('--node <name>', 'only the queue of this node (default: those of all routers)')
    .action(status);
}

async function status(options: CommonOptions & { node?: string }): Promise<void> {
  await using caller = await openCaller(options);
  const heard = ask(caller.client(memberContract)['member-list']({}, PATIENCE)).then((answer) =>
    answer.ok ? answer.value.members.filter(({ state }) => state !== 'gone') : [],
  );
  const [others, queues, console, members] = await Promise.all([
    askAll(caller),
    askRouters(caller, options.node),
    askConsole(caller, heard),
    heard,
  ]);
  const answers = { ...others, router: summary(queues) };
  const logDropped = droppedLines(caller, members);
  const { listener, signer, 'credential-store': store } = answers;
  const value = {
    node: caller.config.node.name,
    services: Object.fromEntries(
      Object.entries({ ...answers, ...console }).map(([name, answer]) => [name, answer.ok ? { ok: true } : answer]),
    ),
    listeners: listener.ok ? listener.value.listeners : [],
    queues: queues.map(({ node, answer }) => (answer.ok ? { ...answer.value, node } : { node, error: answer.error })),
    signer: signer.ok ? signer.value : null,
    keys: store.ok ? store.value : null,
    logDropped,
  };
  print(options, value, () =>
    [report(answers, queues, console), ...(logDropped === 0 ? [] : [logText(logDropped)])].join('\n\n'),
  );
  if (Object.values({ ...answers, ...console }).some((answer) => !answer.ok)) process.exitCode = EXIT.failed;
}

/** Lines that are missing in the logs of this node's processes, as far as they say. */
function droppedLines({ config }: Caller, members: readonly Member[]): number {
  const own = members.filter(({ node }) => node === config.node.name);
  return own.reduce((sum, { logDropped = 0 }) => sum + logDropped, 0);
}

function logText(lines: number): string {
  return pairs([['log', `${count(lines, 'line')} lost: its output was full or not read`]]);
}

type RouterStatus = Awaited<ReturnType<ReturnType<typeof routerOf>['status-show']>>;
/** What the router of a node says. */
type Queue = { node: string; answer: Answer<RouterStatus> };
type Answers = Awaited<ReturnType<typeof askAll>> & { router: Answer<string> };
type Answered<Name extends keyof Answers> = Extract<Answers[Name], { ok: true }>['value'];

const routerOf = (caller: Caller) => caller.client(routerContract);

/** The routers of all nodes, in the order of their names, or the one that is named; none where none is up. */
async function askRouters(caller: Caller, named: string | undefined): Promise<Queue[]> {
  const found = await ask(findRouters(caller, named));
  if (!found.ok) return [];
  const { up, silent } = found.value;
  const asked = up.map(async (node) => ({
    node,
    answer: await ask(routerOf(caller)['status-show']({}, { ...PATIENCE, node })),
  }));
  const lost = silent.map((node): Queue => ({ node, answer: { ok: false, error: errorText(unheard()) } }));
  return [...(await Promise.all(asked)), ...lost].toSorted((a, b) => (a.node < b.node ? -1 : 1));
}

/** All of them in a word. */
function summary(queues: readonly Queue[]): Answer<string> {
  if (queues.length === 0) return { ok: false, error: 'not running' };
  const troubles = queues.flatMap(({ node, answer }) => {
    if (!answer.ok) return [`${node}: ${answer.error}`];
    return answer.value.refusing === undefined ? [] : [`${node} refuses mail: ${answer.value.refusing}`];
  });
  if (queues.some(({ answer }) => !answer.ok)) return { ok: false, error: troubles.join('; ') };
  return { ok: true, value: troubles.join('; ') };
}

async function askAll(caller: Caller) {
  const [listener, policy, signer, store] = await Promise.all([
    ask(caller.client(listenerContract)['status-show']({}, PATIENCE)),
    // Policy keeps no counts to show. The first question of a session tells whether it answers.
    ask(
      caller
        .client(policyContract)
        ['client-check']({ session: 'status', listener: 'status', kind: 'relay', address: '127.0.0.1' }, PATIENCE),
    ),
    ask(caller.client(signerContract)['status-show']({}, PATIENCE)),
    ask(caller.client(credentialStoreContract)['status-show']({}, PATIENCE)),
  ]);
  return { listener, policy, signer, 'credential-store': store };
}

/** Not every cluster has a console: it is asked where somebody runs it. */
async function askConsole(caller: Caller, heard: Promise<readonly Member[]>) {
  if (!(await heard).some(({ services }) => services.includes('console'))) return {};
  return { console: await ask(caller.client(consoleContract)['status-show']({}, PATIENCE)) };
}

type ConsoleAnswer = Awaited<ReturnType<typeof askConsole>>;

function report(answers: Answers, queues: readonly Queue[], own: ConsoleAnswer): string {
  const { listener } = answers;
  const details = { ...detailsOf(answers), ...consoleDetails(own) };
  const services = Object.entries({ ...answers, ...own }).map(([name, answer]) => [
    name,
    answer.ok ? 'answers' : 'silent',
    answer.ok ? (details[name] ?? '') : answer.error,
  ]);
  const parts = [table(['SERVICE', 'STATE', ''], services)];
  if (listener.ok && listener.value.listeners.length > 0) {
    const rows = listener.value.listeners.map((l) => [
      l.name,
      l.kind,
      l.address,
      String(l.port),
      l.tls,
      String(l.sessions),
    ]);
    parts.push(table(['LISTENER', 'KIND', 'ADDRESS', 'PORT', 'TLS', 'SESSIONS'], rows));
  }
  const mail = queues.flatMap(({ node, answer }) => (answer.ok ? queueRows(node, answer.value) : []));
  if (mail.length > 0) parts.push(pairs([...mail, ...directiveRows(queues)]));
  const damage = [
    ...queues.flatMap(({ node, answer }) => damagedQueue(node, answer)),
    ...damageRows('keys', answers['credential-store']),
  ];
  if (damage.length > 0) parts.push(pairs(damage));
  return parts.join('\n\n');
}

/** The queue of a node. */
function queueRows(node: string, status: RouterStatus): [string, string][] {
  const { active, deferred, hold, corrupt, unsigned, reading } = status;
  const sofar = reading === true ? '; more is being read since the start' : '';
  return [
    [`queue of ${node}`, `${active} active, ${deferred} deferred, ${hold} held, ${corrupt} damaged${sofar}`],
    ...unsigned.map(({ domain, reason, count }): [string, string] => [
      'unsigned',
      `${count} sent from ${domain}: ${reason}`,
    ]),
  ];
}

/** What operators have told all routers, once. */
function directiveRows(queues: readonly Queue[]): [string, string][] {
  const all = queues.flatMap(({ answer }) => (answer.ok ? (answer.value.directives ?? []) : []));
  const lines = new Map(all.map((one) => [directiveLine(one), one.kind === 'suspend' ? 'suspended' : 'redirected']));
  return [...lines].map(([line, kind]) => [kind, line]);
}

function damagedQueue(node: string, answer: Answer<RouterStatus>): [string, string][] {
  const mail = answer.ok ? (answer.value.damaged ?? []) : [];
  return [
    ...damageRows(`queue of ${node}`, answer),
    ...mail.map((one): [string, string] => [`mail damaged on ${node}`, `${one.queueId} ${mailText(one)}`]),
  ];
}

function directiveLine(directive: Directive): string {
  const { about, name, via } = directive;
  return `${about} ${name}${via === undefined ? '' : ` to ${via}`}, ${directiveText(directive)}; ${endingOf(directive)} ends that`;
}

function damageRows(store: string, answer: Answer<{ damage?: StoreDamage[] | undefined }>): [string, string][] {
  const damage = answer.ok ? (answer.value.damage ?? []) : [];
  return damage.map((one) => [`${store} damaged`, `${damageText(one)}; see ${one.folder}`]);
}

/** Details of a service that answers. */
function detailsOf({ listener, router, signer, 'credential-store': store }: Answers): Record<string, string> {
  const details: Record<string, string> = {};
  if (listener.ok) details['listener'] = count(listener.value.listeners.length, 'port');
  if (router.ok) details['router'] = router.value;
  if (store.ok) details['credential-store'] = storeText(store.value);
  if (signer.ok) {
    const { keys, upToDate, behind, unusable } = signer.value;
    const broken = unusable.map((key) => `${key.selector}.${key.domain} cannot sign: ${key.reason}`);
    details['signer'] = [
      count(keys, 'key'),
      ...(upToDate ? [] : ['not up to date']),
      ...(behind === undefined ? [] : [behind]),
      ...broken,
    ].join(', ');
  }
  return details;
}

function consoleDetails({ console }: ConsoleAnswer): Record<string, string> {
  return console?.ok ? { console: `${console.value.origin}, ${count(console.value.sessions, 'session')}` } : {};
}

/** How many keys there are, whether this node follows the others, and which of the others do not follow. */
function storeText({ keys, state, problem, revision, holders }: Answered<'credential-store'>): string {
  const stores = holders.filter((h) => h.kind === 'credential-store');
  const nodes = new Set(stores.map((h) => h.node)).size;
  const following = {
    local: [],
    following: [`revision ${revision} on ${count(nodes, 'node')}`],
    behind: ['has yet to catch up with the other nodes'],
    away: ['cannot reach the other nodes, keys cannot be changed'],
  }[state];
  const others = holders.flatMap((h) =>
    h.behind === undefined ? [] : [`${h.kind} of ${h.node} is behind: ${h.behind}`],
  );
  return [count(keys, 'key'), ...following, ...(problem === undefined ? [] : [problem]), ...others].join(', ');
}

/** A silent service is a line of the report. Without a node there is no report at all. */
async function ask<T>(call: Promise<T>): Promise<Answer<T>> {
  try {
    return { ok: true, value: await call };
  } catch (error) {
    if (errorCode(error) === 'no-node') throw error;
    return { ok: false, error: errorCode(error) === CALL_ERRORS.unavailable ? 'not running' : errorText(error) };
  }
}

function count(n: number, thing: string): string {
  return `${n} ${thing}${n === 1 ? '' : 's'}`;
}
