import { setTimeout as delay } from 'node:timers/promises';
import type { Member } from '#cluster/members/member-contract.ts';
import { listenerContract } from '#services/listener/contract.ts';
import { routerContract } from '#services/router/contract.ts';
import { CALL_ERRORS, type CallOptions } from '#shared/contract.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';
import type { TranscriptLine, TranscriptPage, TranscriptRead } from '#shared/transcript/operation.ts';
import type { Caller } from '../context.ts';
import { tellUndone } from './undone.ts';

/**
 * Follows what is said with a peer in the processes of a cluster. Each is read again every `POLL_MS`, which also keeps its
 * watch alive; new processes are found as they come. One that does not answer is told once, and asked again.
 */

const POLL_MS = 500;
const MEET_MS = 5000;
const PATIENCE_MS = 5000;

export const DIRECTIONS = { in: 'listener', out: 'router' } as const;
export type Direction = keyof typeof DIRECTIONS;

export type SeenLine = TranscriptLine & { node: string; direction: Direction };

type Source = { node: string; process: string; direction: Direction; after: number; lost: number; silent: boolean };

export type TranscriptQuestion = {
  peer: string;
  node?: string | undefined;
  directions: readonly Direction[];
  signal: AbortSignal;
};

export type TranscriptView = {
  /** From now on nothing is missed on these nodes. */
  begun(nodes: readonly string[]): void;
  show(lines: readonly SeenLine[]): void;
};

/** Shows what is new until the signal comes; resolves to the number of lines that were lost. */
export async function followTranscript(
  caller: Caller,
  { signal, ...question }: TranscriptQuestion,
  view: TranscriptView,
): Promise<number> {
  const watch = newId();
  const sources = new Map<string, Source>();
  let met = Number.NEGATIVE_INFINITY;
  let lost = 0;
  let begun = false;
  const readAll = async (end: boolean): Promise<void> => {
    const found = await Promise.all(
      [...sources.values()].map((source) => readSource(caller, source, { watch, peer: question.peer, end })),
    );
    lost += found.reduce((sum, one) => sum + one.lost, 0);
    if (!begun) view.begun([...new Set([...sources.values()].map(({ node }) => node))].toSorted());
    begun = true;
    view.show(found.flatMap(({ lines }) => lines).toSorted((a, b) => a.at - b.at));
  };
  while (!signal.aborted) {
    if (performance.now() - met > MEET_MS) {
      await findSources(caller, question, sources);
      met = performance.now();
    }
    await readAll(false);
    await delay(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
  await readAll(true);
  return lost;
}

/** The processes with sessions, from those that the cluster knows. Fails where there was none from the beginning. */
async function findSources(
  caller: Caller,
  { node: named, directions }: Omit<TranscriptQuestion, 'signal'>,
  sources: Map<string, Source>,
): Promise<void> {
  let members: readonly Member[];
  try {
    members = await caller.meet();
  } catch (error) {
    if (sources.size === 0) throw error;
    return;
  }
  const up = members.filter(({ state, node }) => state !== 'gone' && (named === undefined || node === named));
  const known = new Set<string>();
  for (const { node, process, services } of up) {
    for (const direction of directions) {
      if (!services.includes(DIRECTIONS[direction])) continue;
      const key = `${process} ${direction}`;
      known.add(key);
      if (!sources.has(key)) sources.set(key, { node, process, direction, after: 0, lost: 0, silent: false });
    }
  }
  for (const key of sources.keys()) if (!known.has(key)) sources.delete(key);
  if (sources.size > 0) return;
  const services = directions.map((direction) => DIRECTIONS[direction]).join(' or ');
  const where = named === undefined ? '' : ` on node ${named}`;
  throw new SealpostError(
    CALL_ERRORS.unavailable,
    `no ${services} is up${where}: "sealpost cluster status" shows what is`,
  );
}

/** Whatever is new at a process, in pages; nothing where it does not answer. */
async function readSource(
  caller: Caller,
  source: Source,
  { watch, peer, end }: { watch: string; peer: string; end: boolean },
): Promise<{ lines: SeenLine[]; lost: number }> {
  const { node, process, direction } = source;
  const lines: SeenLine[] = [];
  let lost = 0;
  const read = reader(caller, direction);
  try {
    for (;;) {
      const page = await read({ watch, peer, after: source.after }, { node: process, timeout: PATIENCE_MS });
      lines.push(...page.lines.map((line) => ({ ...line, node, direction })));
      lost += Math.max(0, page.lost - source.lost);
      source.after = page.last;
      source.lost = page.lost;
      source.silent = false;
      if (page.lines.length === 0) break;
    }
    if (end) await read({ watch, peer, after: source.after, end }, { node: process, timeout: PATIENCE_MS });
  } catch (error) {
    if (errorCode(error) === 'too-many-transcripts') throw error;
    if (!source.silent && !end) tellUndone(`sessions of the ${DIRECTIONS[direction]} on ${node} are not shown`, error);
    source.silent = true;
  }
  return { lines, lost };
}

type Read = (request: TranscriptRead, options: CallOptions) => Promise<TranscriptPage>;

function reader(caller: Caller, direction: Direction): Read {
  return direction === 'in'
    ? caller.client(listenerContract)['transcript-read']
    : caller.client(routerContract)['transcript-read'];
}
