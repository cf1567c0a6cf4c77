import type { Member } from '#cluster/members/member-contract.ts';
import type { Overview, ProcessState } from '../../schemas/overview.ts';
import type { Traffic } from './facts.ts';
import type { Rates } from './rates.ts';

/** The nodes as the overview shows them. Pure. */

/** A process announces itself every second: one that has missed three in a row may have died. */
export const SILENT_MS = 3000;

export type Known = { away: number | undefined; silent: Traffic['silent']; rates: Rates | undefined };
type Node = Overview['nodes'][number];

export function nodesOf(members: readonly Member[], { away, silent, rates }: Known): Node[] {
  const byNode = Map.groupBy(members, ({ node }) => node);
  return [...byNode]
    .map(([name, own]): Node => {
      const processes = own
        .toSorted((a, b) => a.started - b.started)
        .map((member) => processOf(member, away, troubleOf(member, silent)));
      const flow = rates?.nodes.get(name);
      return { name, state: stateOfAll(processes.map(({ state }) => state)), processes, ...(flow && { flow }) };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function troubleOf({ process }: Member, silent: Traffic['silent']): string | undefined {
  return silent.find((one) => one.process === process)?.reason;
}

function processOf(member: Member, away: number | undefined, trouble: string | undefined): Node['processes'][number] {
  const { process, services, version, started, heard, clock } = member;
  return {
    ...{ process, services, version, state: stateOf(member, away, trouble) },
    heard: Date.now() - heard,
    started: started - clock,
    ...(trouble !== undefined && { trouble }),
  };
}

function stateOf(
  { state, stopped, heard }: Member,
  away: number | undefined,
  trouble: string | undefined,
): ProcessState {
  if (stopped) return 'stopped';
  // This process itself was heard just now.
  if (away !== undefined && heard > 0) return 'unknown';
  if (state === 'gone') return 'gone';
  return heard > SILENT_MS || trouble !== undefined ? 'silent' : state;
}

/** What its processes have in common; those that said that they end do not count while others are there. */
function stateOfAll(states: readonly ProcessState[]): Node['state'] {
  const left = new Set(states.filter((state) => state !== 'stopped'));
  const [first = 'stopped', ...others] = left;
  if (others.length === 0) return first;
  for (const state of ['silent', 'gone', 'unknown'] as const) if (left.has(state)) return 'partly';
  return left.has('draining') ? 'draining' : 'joining';
}
