import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { DnsConfig } from '#cluster/config/schema/schema.ts';
import { ask } from '#shared/dns/exchange.ts';
import { nameOf, Rcode, type Response, rcodeName, recordsAt, Type } from '#shared/dns/message.ts';
import { tlsaText } from '#shared/dns/tlsa.ts';
import { txtOf } from '#shared/dns/txt.ts';
import { errorCode, reasonText, SealpostError } from '#shared/errors.ts';
import { type Authority, authorityOf, type NamedServer, ResolverChain } from './authority.ts';
import { type Expectation, type ExpectedRecord, expectKey, type Judgement, type Verdict } from './judge.ts';
import { cutBelow } from './zone-cut.ts';

export type { ExpectedRecord } from './judge.ts';

/**
 * Whether others can see a record, such as that of a key: every authoritative server of its zone is asked, without any cache between, and each
 * must return what is expected. An alias (CNAME) at the name is followed to the servers of the zone of its target, and
 * each of those must return the same.
 *
 * A name server is asked at each of its addresses. One that cannot be reached from here does not count where another
 * address of that name server answers, since the reason may be on our side (one address family, a firewall); what any
 * address answers counts. Where none answers, another node may have reached it (driver/conditions.ts).
 *
 * What a wildcard makes up (`*.example.com TXT …`, `*._domainkey.example.com TXT "v=DKIM1; p="`) is not a record of the
 * name, though the answer looks the same: the server gives it for a name that nobody can have chosen too. It counts only
 * where it is as expected, or is our key: verifiers do not see the difference.
 *
 * Only where no name server of a zone can be reached (port 53 is closed to this machine), the answer of a resolver is
 * accepted in their place, and the verdict says so; never in place of servers that the configuration names.
 */

/**
 * `server` is `ns2.example.com (192.0.2.2)` or as it is configured; the detail is a clause that follows it. `host`: the
 * name server, the same from every node; absent for a resolver.
 */
export type ServerVerdict = { server: string; host?: string } & Judgement;

export type DnsVerdict = {
  name: string;
  /** That of the first server that answers something else, or else of the first that does not answer. */
  verdict: Verdict;
  /** One sentence; it names that server. */
  summary: string;
  servers: ServerVerdict[];
  /** The records that any server returns, as texts. */
  found: string[];
  /** The answer for at least one zone came from a resolver, which may have an old one. */
  viaResolver: boolean;
  /** ms since 1970 */
  at: number;
};

/** `cname`: the target of the alias that must be at the name. `port`: on which the name servers of a zone listen, 53. */
export type CheckOptions = { cname?: string; port?: number };

/** What one server returns for a name. */
type Seen = { server: string; host?: string; noRoute?: boolean } & (
  | { texts: string[] }
  | { alias: string }
  | { failure: Judgement }
);
type Look = { servers: ServerVerdict[]; found: string[]; viaResolver: boolean };
/** A name to look at; `cname`: the target of the alias that must be there; `path`: the aliases that led to it. */
type Target = { name: string; cname?: string | undefined; path: readonly string[] };
type Check = { config: DnsConfig; resolver: ResolverChain; expected: Expectation; port: number };

export const DNS_PORT = 53;
/** Aliases followed, as by resolvers. */
const MAX_ALIASES = 8;

/** Ask DNS for the record of a key. Never fails: an error is a verdict. */
export function checkRecord(
  config: DnsConfig,
  name: string,
  expected: ExpectedRecord,
  options: CheckOptions = {},
): Promise<DnsVerdict> {
  return checkRecords(config, name, expectKey(expected), options);
}

/** Ask DNS for the records at a name. Never fails: an error is a verdict. */
export async function checkRecords(
  config: DnsConfig,
  name: string,
  expected: Expectation,
  { cname, port = DNS_PORT }: CheckOptions = {},
): Promise<DnsVerdict> {
  const check = { config, resolver: new ResolverChain(config), expected, port };
  const { servers, found, viaResolver } = await look(check, {
    name: normalized(name),
    cname: cname && normalized(cname),
    path: [],
  });
  const notOk = servers.filter((s) => s.verdict !== 'ok');
  const wrong = notOk.find((s) => s.verdict !== 'unreachable') ?? notOk[0];
  const right = servers.filter((s) => s.verdict === 'ok').length;
  const way = viaResolver ? ', asked through a resolver, since no name server of the zone could be reached' : '';
  const summary =
    wrong === undefined
      ? `${servers.at(-1)?.detail ?? 'ok'}: so say all servers asked (${servers.length})${way}`
      : `${wrong.server} ${wrong.detail}${right > 0 ? ` (${right} of ${servers.length} servers are right)` : ''}${way}`;
  return {
    name,
    verdict: wrong?.verdict ?? 'ok',
    summary: `${name}: ${summary}`,
    servers,
    found: [...new Set(found)],
    viaResolver,
    at: Date.now(),
  };
}

/** All servers of the name's zone, and of the zones to which aliases lead. */
async function look(check: Check, target: Target): Promise<Look> {
  const { name, path } = target;
  try {
    if (path.includes(name)) throw new SealpostError('dns-alias', `finds aliases in a circle: ${path.join(', ')}`);
    if (path.length > MAX_ALIASES) throw new SealpostError('dns-alias', `finds too many aliases in a row at ${name}`);
    const authority = await authorityOf(check.config, check.resolver, name, check.port);
    const asked = await Promise.all(authority.servers.map((server) => askServer(check, authority, server, target)));
    const seen = withoutSilentAddresses(asked);
    if (!seen.some(isReached) && !authority.configured) return await lookByResolver(check, target);
    return await follow(check, target, seen, authority);
  } catch (error) {
    const failure = { server: check.resolver.text, verdict: verdictOf(error), detail: reasonText(error) };
    return { servers: [failure], found: [], viaResolver: false };
  }
}

const isReached = (seen: Seen): boolean => !('failure' in seen && seen.failure.verdict === 'unreachable');

/** Without the addresses that this machine has no route to, and those of name servers that answer at another address. */
function withoutSilentAddresses(asked: Seen[]): Seen[] {
  const reached = new Set(asked.filter(isReached).map((seen) => seen.host));
  const counting = asked.filter((seen) => isReached(seen) || !(seen.noRoute || reached.has(seen.host)));
  return counting.length > 0 ? counting : asked;
}

/** The verdicts on what was seen, and on the targets of the aliases among it. */
async function follow(
  check: Check,
  { name, cname, path }: Target,
  seen: Seen[],
  authority: Pick<Authority, 'unresolved'>,
): Promise<Look> {
  const servers: ServerVerdict[] = seen.map((s) => ({ ...named(s), ...judgeSeen(s, check.expected, cname) }));
  const { unresolved } = authority;
  servers.push(...unresolved.map((h) => ({ ...h, host: h.server, verdict: 'unreachable' as const })));
  const targets = new Set(seen.flatMap((s) => ('alias' in s && (cname ?? s.alias) === s.alias ? [s.alias] : [])));
  const followed = await Promise.all([...targets].map((t) => look(check, { name: t, path: [...path, name] })));
  return {
    servers: [...servers, ...followed.flatMap((look) => look.servers)],
    found: [...seen.flatMap((s) => ('texts' in s ? s.texts : [])), ...followed.flatMap((look) => look.found)],
    viaResolver: followed.some((look) => look.viaResolver),
  };
}

const named = ({ server, host }: Seen) => (host === undefined ? { server } : { server, host });

function judgeSeen(seen: Seen, expected: Expectation, cname: string | undefined): Judgement {
  if ('failure' in seen) return seen.failure;
  if ('alias' in seen) {
    if (cname === undefined || cname === seen.alias) return { verdict: 'ok', detail: `has an alias for ${seen.alias}` };
    return { verdict: 'different', detail: `has an alias (CNAME) for ${seen.alias}, and it must be for ${cname}` };
  }
  if (cname === undefined || expected.isAbsent) return expected.judge(seen.texts);
  if (seen.texts.length === 0) return { verdict: 'missing', detail: `has no alias (CNAME) there for ${cname}` };
  return { verdict: 'different', detail: `has a TXT record there, and it must be an alias (CNAME) for ${cname}` };
}

async function askServer(check: Check, authority: Authority, server: NamedServer, target: Target): Promise<Seen> {
  const { name } = target;
  const from = { server: server.text, host: server.host };
  try {
    const asking: Asking = (at) =>
      ask(server, { name: at, type: Type[check.expected.type] }, { timeoutMs: check.config.timeout });
    const response = await asking(name);
    const detail = lameness(response, authority, name);
    if (detail !== undefined) return { ...from, failure: { verdict: 'error', detail } };
    return { ...from, ...(await withoutWildcard(check, target, recordsIn(check, response, name), asking)) };
  } catch (error) {
    const failure = { verdict: verdictOf(error), detail: `cannot be asked: ${reasonText(error)}` };
    return { ...from, failure, noRoute: errorCode(error) === 'dns-no-route' };
  }
}

/** Why an answer does not come from a server of the zone; undefined when it does. */
function lameness(response: Response, { zone, configured }: Authority, name: string): string | undefined {
  const known = response.rcode === Rcode.NOERROR || response.rcode === Rcode.NXDOMAIN;
  if (known && response.authoritative) return undefined;
  const cut = configured ? cutBelow(zone, name, response) : undefined;
  if (cut !== undefined) return `refers to other servers: ${cut}`;
  const what = known ? 'answers without authority' : `answers ${rcodeName(response.rcode)}`;
  const cause = configured ? 'dns.zones names it as a server of' : 'lame delegation: it is a name server of';
  return `${what}, and so does not serve the zone (${cause} ${zone})`;
}

type Found = { alias: string } | { texts: string[] };
type Asking = (name: string) => Promise<Response>;

/** What was found at a name; nothing where it is not as expected and a wildcard gives the same for any name. */
async function withoutWildcard(check: Check, target: Target, found: Found, asking: Asking): Promise<Found> {
  const { expected } = check;
  const doubtful =
    'alias' in found
      ? expected.isAbsent && target.cname === undefined
      : found.texts.length > 0 && expected.judge(found.texts).verdict !== 'ok' && !expected.isOurs(found.texts);
  if (!doubtful) return found;
  const sibling = target.name.replace(/^[^.]*/, () => `sealpost-${randomBytes(8).toString('hex')}`);
  try {
    const made = recordsIn(check, await asking(sibling), sibling);
    return isDeepStrictEqual(sorted(made), sorted(found)) ? { texts: [] } : found;
  } catch {
    // The server has answered for the name itself, and that counts.
    return found;
  }
}

const sorted = (found: Found): Found => ('alias' in found ? found : { texts: found.texts.toSorted() });

function recordsIn({ expected: { type } }: Check, response: Response, name: string): Found {
  const [alias] = recordsAt(response, name, Type.CNAME);
  if (alias !== undefined) return { alias: nameOf(response, alias) };
  const textOf = type === 'TXT' ? txtOf : ({ rdata }: { rdata: Buffer }) => tlsaText(rdata);
  return { texts: recordsAt(response, name, Type[type]).map(textOf) };
}

/** What a resolver finds, aliases included. */
async function lookByResolver(check: Check, { name, cname }: Target): Promise<Look> {
  const type = Type[check.expected.type];
  const response = await check.resolver.ask({ name, type });
  const server = check.resolver.text;
  const servers: ServerVerdict[] = [];
  let wanted = cname;
  let owner = name;
  for (let hops = 0; hops <= MAX_ALIASES; hops++) {
    const found = recordsIn(check, response, owner);
    const asking: Asking = (at) => check.resolver.ask({ name: at, type });
    const seen = { server, ...(await withoutWildcard(check, { name: owner, cname: wanted, path: [] }, found, asking)) };
    const judgement = judgeSeen(seen, check.expected, wanted);
    servers.push({ server, ...judgement });
    if ('texts' in seen || judgement.verdict !== 'ok') {
      return { servers, found: 'texts' in seen ? seen.texts : [], viaResolver: true };
    }
    wanted = undefined;
    owner = seen.alias;
  }
  throw new SealpostError('dns-alias', `finds too many aliases in a row at ${name}`);
}

function verdictOf(error: unknown): Verdict {
  const code = errorCode(error);
  if (code === 'dns-unreachable' || code === 'dns-no-route') return 'unreachable';
  return code === 'dns-malformed' ? 'malformed' : 'error';
}

function normalized(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
