import type { Command } from 'commander';
import { type Member, memberContract } from '#cluster/members/member-contract.ts';
import { type Lock, type LockSelection, policyContract } from '#services/policy/contract.ts';
import { parseNetwork } from '#shared/address/ip-address.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import { formatDuration, formatRate } from '#shared/units.ts';
import { type Caller, type CommonOptions, openCaller, print, withCommon } from '../context.ts';
import { usageError } from '../exit.ts';
import { tellUndone } from '../mail/undone.ts';
import { table } from '../table.ts';

type SelectOptions = CommonOptions & LockSelection;
type LiftOptions = SelectOptions & { all?: boolean };

/** What an instance of policy answered. */
type Answer = { node: string; locks: Lock[]; more: number };
/** A lock, and the nodes that know it. */
type Found = Lock & { nodes: string[] };

export function register(program: Command): void {
  const locks = program.command('locks').description('see and lift what locks log-ins after too many failures');
  const command = (name: string, text: string): Command =>
    withCommon(locks.command(name).description(text))
      .option('--user <name>', 'only those of this user')
      .option('--network <network>', 'only those of this network, or the one of this address');
  command('list', 'what is locked, at any node, and until when').action(list);
  command('lift', 'open locks on all nodes: failures count from nothing again')
    .option('--all', 'every lock')
    .addHelpText('after', '\nWith --user and --network: the lock of this user from this network alone.')
    .action(lift);
}

async function list(options: SelectOptions): Promise<void> {
  const selection = selectionOf(options);
  await using caller = await openCaller(options);
  const { answers, silent } = await askPolicies(
    caller,
    'lock-list',
    selection,
    'the locks that only %s knows are not listed',
  );
  const locks = merge(answers);
  const more = Math.max(0, ...answers.map((answer) => answer.more));
  print(options, { locks: locks.map(shown), more, silent }, () =>
    locks.length === 0 ? 'no locks' : `${lockTable(locks, answers)}${more > 0 ? `\n… and ${more} more` : ''}`,
  );
}

async function lift(options: LiftOptions): Promise<void> {
  const selection = selectionOf(options);
  const named = selection.user !== undefined || selection.network !== undefined;
  if (named === (options.all ?? false)) throw usageError('name what to open: --user, --network, both, or --all');
  await using caller = await openCaller(options);
  const { answers, silent } = await askPolicies(
    caller,
    'lock-lift',
    selection,
    'locks that only %s knows may come back',
  );
  const lifted = merge(answers);
  const more = Math.max(0, ...answers.map((answer) => answer.more));
  const nodes = nodesOf(answers);
  print(options, { lifted: lifted.map(shown), more, nodes, silent }, () =>
    lifted.length === 0
      ? `nothing was locked; failures count from nothing again on ${nodes.join(', ')}`
      : `${lockTable(lifted, answers)}\nlifted ${lifted.length + more} on ${nodes.join(', ')}`,
  );
}

function selectionOf({ user, network }: LockSelection): LockSelection {
  if (network !== undefined && parseNetwork(network) === undefined) {
    throw usageError(`"${network}" is not an IP address or a network such as 192.0.2.0/24`);
  }
  return { user, network };
}

/**
 * Ask every process with a policy service. Those that do not answer are told as `undone` (%s is their node); fails as the
 * first of them where none answers.
 */
async function askPolicies(
  caller: Caller,
  operation: 'lock-list' | 'lock-lift',
  selection: LockSelection,
  undone: string,
): Promise<{ answers: Answer[]; silent: string[] }> {
  const { members } = await caller.client(memberContract)['member-list']({});
  const policies = members.filter(({ services }) => services.includes('policy'));
  const live = policies.filter(({ state }) => state !== 'gone');
  if (live.length === 0) {
    throw new SealpostError(
      CALL_ERRORS.unavailable,
      'no policy service is up: "sealpost cluster status" shows what is',
    );
  }
  const policy = caller.client(policyContract);
  const ask = async ({ node, process }: Member): Promise<Answer> => ({
    node,
    ...(await policy[operation](selection, { node: process })),
  });
  const outcomes = await Promise.allSettled(live.map(ask));
  const answers = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failures = outcomes.flatMap((outcome, n) =>
    outcome.status === 'rejected' ? [{ node: live[n]?.node ?? '', error: outcome.reason as unknown }] : [],
  );
  if (answers.length === 0) throw failures[0]?.error;
  const lost = policies.filter(({ state, stopped }) => state === 'gone' && !stopped).map(({ node }) => node);
  const unheard = new Set(lost).difference(new Set(live.map(({ node }) => node)));
  const gone = new SealpostError(CALL_ERRORS.timeout, 'nothing is heard of its policy service');
  failures.push(...[...unheard].map((node) => ({ node, error: gone })));
  for (const { node, error } of failures) tellUndone(undone.replace('%s', node), error);
  return { answers, silent: failures.map(({ node }) => node) };
}

/** The locks of all answers, those that open last first. */
function merge(answers: readonly Answer[]): Found[] {
  const found = new Map<string, Found>();
  for (const { node, locks } of answers) {
    for (const lock of locks) {
      const key = JSON.stringify([lock.user, lock.network]);
      const known = found.get(key);
      const nodes = [...new Set([...(known?.nodes ?? []), node])].toSorted();
      const longer = known !== undefined && known.opensMs > lock.opensMs ? known : lock;
      found.set(key, { ...longer, nodes });
    }
  }
  return [...found.values()].toSorted((a, b) => b.opensMs - a.opensMs);
}

const nodesOf = (answers: readonly Answer[]): string[] => [...new Set(answers.map(({ node }) => node))].toSorted();

function shown({ limit, ...lock }: Found) {
  return { ...lock, limit: formatRate(limit) };
}

function lockTable(locks: readonly Found[], answers: readonly Answer[]): string {
  const all = nodesOf(answers).length;
  const row = ({ user, network, failures, limit, opensMs, nodes }: Found): string[] => [
    user ?? '(any)',
    network ?? '(any)',
    String(failures),
    formatRate(limit),
    formatDuration(opensMs),
    nodes.length === all ? 'all' : nodes.join(', '),
  ];
  return table(['USER', 'NETWORK', 'FAILURES', 'LIMIT', 'OPENS IN', 'NODES'], locks.map(row));
}
