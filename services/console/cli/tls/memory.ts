import { routerContract } from '#services/router/contract.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import { isForgotten, TlsName, type TlsRecord } from '#shared/mail/tls-memory.ts';
import { formatTime } from '#shared/units.ts';
import { askEach, findRouters } from '../../reports/mail/routers.ts';
import { type Caller, type CommonOptions, openCaller, print } from '../context.ts';
import { usageError } from '../exit.ts';
import { tellUndone } from '../mail/undone.ts';
import { table } from '../table.ts';

/** What the routers remember of the TLS of others: to see and to drop, over all of them. */

/** What one router knows. */
type Known = { node: string; records: TlsRecord[] };
/** The latest record on a thing, and the nodes that have it. */
type Found = { record: TlsRecord; nodes: string[] };

export async function showMemory(name: string | undefined, options: CommonOptions): Promise<void> {
  const domain = name === undefined ? undefined : nameOf(name);
  await using caller = await openCaller(options);
  const { known, silent } = await askRouters(
    caller,
    (node) => recordsOf(caller, node, domain),
    'what %s alone remembers is not listed',
  );
  const found = merge(known);
  print(options, { records: found.map(({ record, nodes }) => ({ ...record, nodes })), silent }, () =>
    found.length === 0 ? 'nothing is remembered' : memoryTable(found, known.length),
  );
}

export async function forget(name: string, options: CommonOptions): Promise<void> {
  const domain = nameOf(name);
  await using caller = await openCaller(options);
  const router = caller.client(routerContract);
  const { known, silent } = await askRouters(
    caller,
    async (node) => (await router['tls-memory-forget']({ name: domain }, { node })).records,
    '%s has not forgotten it yet: it learns that from the others when it is back',
  );
  const found = merge(known);
  const nodes = known.map(({ node }) => node);
  print(options, { forgotten: found.map(({ record }) => record), nodes, silent }, () =>
    found.length === 0
      ? `nothing was remembered of ${domain} on ${nodes.join(', ')}`
      : `${memoryTable(found, known.length)}\nforgotten on ${nodes.join(', ')}`,
  );
}

function nameOf(text: string): string {
  const name = normalizeDomain(text);
  if (!TlsName.safeParse(name).success) throw usageError(`"${text}" is not the name of a domain or a host`);
  return name;
}

/** Routers that do not answer are told as `undone` (%s is their node). */
async function askRouters(
  caller: Caller,
  ask: (node: string) => Promise<TlsRecord[]>,
  undone: string,
): Promise<{ known: Known[]; silent: string[] }> {
  const silent: string[] = [];
  const known = await askEach(
    await findRouters(caller),
    async (node) => ({ node, records: await ask(node) }),
    (node, error) => {
      silent.push(node);
      tellUndone(undone.replace('%s', node), error);
    },
  );
  return { known, silent };
}

async function recordsOf(caller: Caller, node: string, domain: string | undefined): Promise<TlsRecord[]> {
  const router = caller.client(routerContract);
  const records: TlsRecord[] = [];
  let after: string | undefined;
  do {
    const request = { ...(domain !== undefined && { domain }), ...(after !== undefined && { after }) };
    const page = await router['tls-memory-list'](request, { node });
    records.push(...page.records);
    after = page.next;
  } while (after !== undefined);
  return records;
}

/** By name. What was forgotten is not there. */
function merge(known: readonly Known[]): Found[] {
  const found = new Map<string, Found>();
  for (const { node, records } of known) {
    for (const record of records) {
      const key = `${record.name}!${record.kind}`;
      const other = found.get(key);
      if (other === undefined || record.at > other.record.at) found.set(key, { record, nodes: [node] });
      else if (record.at === other.record.at) other.nodes.push(node);
    }
  }
  return [...found.entries()]
    .filter(([, { record }]) => !isForgotten(record))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, one]) => one);
}

function memoryTable(found: readonly Found[], routers: number): string {
  return table(
    ['NAME', 'REMEMBERED', 'LEARNED', 'NODES'],
    found.map(({ record, nodes }) => [
      record.name,
      textOf(record),
      formatTime(record.at),
      nodes.length === routers ? 'all' : nodes.join(', '),
    ]),
  );
}

function textOf(record: TlsRecord): string {
  if (record.kind === 'domain') return record.reached === 'verified' ? 'TLS, verified' : 'TLS';
  if (record.kind === 'host') return 'reduced ClientHello';
  const lines = record.policy?.lines ?? [];
  const mode = lines
    .find((line) => line.startsWith('mode:'))
    ?.slice('mode:'.length)
    .trim();
  return `MTA-STS ${mode ?? ''}, id ${record.policy?.id ?? ''}`;
}
