import type { Command } from 'commander';
import type { LockSelection } from '#services/policy/contract.ts';
import { parseNetwork } from '#shared/address/ip-address.ts';
import { formatDuration, formatRate } from '#shared/units.ts';
import { askPolicies, type FoundLock, type LocksFound } from '../../reports/people/locks.ts';
import { type CommonOptions, openCaller, print, withCommon } from '../context.ts';
import { usageError } from '../exit.ts';
import { tellUndone } from '../mail/undone.ts';
import { table } from '../table.ts';

type SelectOptions = CommonOptions & LockSelection;
type LiftOptions = SelectOptions & { all?: boolean };

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
  const found = await askPolicies(caller, 'lock-list', selection);
  const silent = tellSilent(found, 'the locks that only %s knows are not listed');
  const { locks, more } = found;
  print(options, { locks: locks.map(shown), more, silent }, () =>
    locks.length === 0 ? 'no locks' : `${lockTable(found)}${more > 0 ? `\n… and ${more} more` : ''}`,
  );
}

async function lift(options: LiftOptions): Promise<void> {
  const selection = selectionOf(options);
  const named = selection.user !== undefined || selection.network !== undefined;
  if (named === (options.all ?? false)) throw usageError('name what to open: --user, --network, both, or --all');
  await using caller = await openCaller(options);
  const found = await askPolicies(caller, 'lock-lift', selection);
  const silent = tellSilent(found, 'locks that only %s knows may come back');
  const { locks: lifted, more, nodes } = found;
  print(options, { lifted: lifted.map(shown), more, nodes, silent }, () =>
    lifted.length === 0
      ? `nothing was locked; failures count from nothing again on ${nodes.join(', ')}`
      : `${lockTable(found)}\nlifted ${lifted.length + more} on ${nodes.join(', ')}`,
  );
}

function selectionOf({ user, network }: LockSelection): LockSelection {
  if (network !== undefined && parseNetwork(network) === undefined) {
    throw usageError(`"${network}" is not an IP address or a network such as 192.0.2.0/24`);
  }
  return { user, network };
}

/** Whose locks are not in the result (%s is the node): the command fails in the end. */
function tellSilent({ silent }: LocksFound, undone: string): string[] {
  for (const { node, error } of silent) tellUndone(undone.replace('%s', node), error);
  return silent.map(({ node }) => node);
}

function shown({ limit, ...lock }: FoundLock) {
  return { ...lock, limit: formatRate(limit) };
}

function lockTable({ locks, nodes: all }: LocksFound): string {
  const row = ({ user, network, failures, limit, opensMs, nodes }: FoundLock): string[] => [
    user ?? '(any)',
    network ?? '(any)',
    String(failures),
    formatRate(limit),
    formatDuration(opensMs),
    nodes.length === all.length ? 'all' : nodes.join(', '),
  ];
  return table(['USER', 'NETWORK', 'FAILURES', 'LIMIT', 'OPENS IN', 'NODES'], locks.map(row));
}
