import type { DnsConfig } from '#cluster/config/schema/schema.ts';
import { ask } from '#shared/dns/exchange.ts';
import { nameOf, Rcode, type Response, rcodeName, recordsAt, Type } from '#shared/dns/message.ts';
import { txtOf } from '#shared/dns/txt.ts';
import { errorCode, reasonText, SealpostError } from '#shared/errors.ts';
import { type Authority, authorityOf, type NamedServer, ResolverChain } from './authority.ts';
import { type ExpectedRecord, type Judgement, judge, type Verdict } from './judge.ts';

export type { ExpectedRecord } from './judge.ts';

/**
 * Whether verifiers can see a key: every authoritative server of its zone is asked, without any cache between, and each
 * must return what is expected. An alias (CNAME) at the name is followed to the servers of the zone of its target, and
 * each of those must return the same.
 *
 * Only where no name server of a zone can be reached (port 53 is closed to this machine), the answer of a resolver is
 * accepted in their place, and the verdict says so; never in place of servers that the configuration names.
 */

/** `server` is `ns2.example.com (192.0.2.2)` or as it is configured; the detail is a clause that follows it. */
export type ServerVerdict = { server: string } & Judgement;

export type DnsVerdict = {
  name: string;
  /** That of the first server that is not `ok`. */
  verdict: Verdict;
  /** One sentence; it names that server. */
  summary: string;
  servers: ServerVerdict[];
  /** The answer for at least one zone came from a resolver, which may have an old one. */
  viaResolver: boolean;
  /** ms since 1970 */
  at: number;
};

/** `cname`: the target of the alias that must be at the name. `port`: on which the name servers of a zone listen, 53. */
export type CheckOptions = { cname?: string; port?: number };

/** What one server returns for a name. */
type Seen = { server: string; noRoute?: boolean } & ({ texts: string[] } | { alias: string } | { failure: Judgement });
type Look = { servers: ServerVerdict[]; viaResolver: boolean };
/** A name to look at; `cname`: the target of the alias that must be there; `path`: the aliases that led to it. */
type Target = { name: string; cname?: string | undefined; path: readonly string[] };
type Check = { config: DnsConfig; resolver: ResolverChain; expected: ExpectedRecord; port: number };

const DNS_PORT = 53;
/** Aliases followed, as by resolvers. */
const MAX_ALIASES = 8;

/** Ask DNS for the record at a name. Never fails: an error is a verdict. */
export async function checkRecord(
  config: DnsConfig,
  name: string,
  expected: ExpectedRecord,
  { cname, port = DNS_PORT }: CheckOptions = {},
): Promise<DnsVerdict> {
  const check = { config, resolver: new ResolverChain(config), expected, port };
  const { servers, viaResolver } = await look(check, {
    name: normalized(name),
    cname: cname && normalized(cname),
    path: [],
  });
  const wrong = servers.find((s) => s.verdict !== 'ok');
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
    const asked = await Promise.all(authority.servers.map((server) => askServer(check, authority, server, name)));
    // A machine without IPv6 (or IPv4) says nothing about the server.
    const routed = asked.filter((seen) => seen.noRoute !== true);
    const seen = routed.length > 0 ? routed : asked;
    const reached = seen.some((s) => !('failure' in s && s.failure.verdict === 'unreachable'));
    if (!reached && !authority.configured) return await lookByResolver(check, target);
    return await follow(check, target, seen, authority);
  } catch (error) {
    const failure = { server: check.resolver.text, verdict: verdictOf(error), detail: reasonText(error) };
    return { servers: [failure], viaResolver: false };
  }
}

/** The verdicts on what was seen, and on the targets of the aliases among it. */
async function follow(
  check: Check,
  { name, cname, path }: Target,
  seen: Seen[],
  authority: Pick<Authority, 'unresolved'>,
): Promise<Look> {
  const servers: ServerVerdict[] = seen.map((s) => ({ server: s.server, ...judgeSeen(s, check.expected, cname) }));
  servers.push(...authority.unresolved.map((h) => ({ ...h, verdict: 'unreachable' as const })));
  const targets = new Set(seen.flatMap((s) => ('alias' in s && (cname ?? s.alias) === s.alias ? [s.alias] : [])));
  const followed = await Promise.all([...targets].map((t) => look(check, { name: t, path: [...path, name] })));
  return {
    servers: [...servers, ...followed.flatMap((look) => look.servers)],
    viaResolver: followed.some((look) => look.viaResolver),
  };
}

function judgeSeen(seen: Seen, expected: ExpectedRecord, cname: string | undefined): Judgement {
  if ('failure' in seen) return seen.failure;
  if ('alias' in seen) {
    if (cname === undefined || cname === seen.alias) return { verdict: 'ok', detail: `has an alias for ${seen.alias}` };
    return { verdict: 'different', detail: `has an alias (CNAME) for ${seen.alias}, and it must be for ${cname}` };
  }
  if (cname === undefined || expected.kind === 'absent') return judge(seen.texts, expected);
  if (seen.texts.length === 0) return { verdict: 'missing', detail: `has no alias (CNAME) there for ${cname}` };
  return { verdict: 'different', detail: `has a TXT record there, and it must be an alias (CNAME) for ${cname}` };
}

async function askServer(check: Check, authority: Authority, server: NamedServer, name: string): Promise<Seen> {
  try {
    const response = await ask(server, { name, type: Type.TXT }, check.config.timeout);
    const detail = lameness(response, authority);
    if (detail !== undefined) return { server: server.text, failure: { verdict: 'error', detail } };
    return { server: server.text, ...recordsIn(response, name) };
  } catch (error) {
    const failure = { verdict: verdictOf(error), detail: `cannot be asked: ${reasonText(error)}` };
    return { server: server.text, failure, noRoute: errorCode(error) === 'dns-no-route' };
  }
}

/** Why an answer does not come from a server of the zone; undefined when it does. */
function lameness(response: Response, { zone, configured }: Authority): string | undefined {
  const known = response.rcode === Rcode.NOERROR || response.rcode === Rcode.NXDOMAIN;
  if (known && response.authoritative) return undefined;
  const what = known ? 'answers without authority' : `answers ${rcodeName(response.rcode)}`;
  const cause = configured ? 'dns.zones names it as a server of' : 'lame delegation: it is a name server of';
  return `${what}, and so does not serve the zone (${cause} ${zone})`;
}

function recordsIn(response: Response, name: string): { alias: string } | { texts: string[] } {
  const [alias] = recordsAt(response, name, Type.CNAME);
  if (alias !== undefined) return { alias: nameOf(response, alias) };
  return { texts: recordsAt(response, name, Type.TXT).map(txtOf) };
}

/** What a resolver finds, aliases included. */
async function lookByResolver(check: Check, { name, cname }: Target): Promise<Look> {
  const response = await check.resolver.ask({ name, type: Type.TXT });
  const server = check.resolver.text;
  const servers: ServerVerdict[] = [];
  let wanted = cname;
  let owner = name;
  for (let hops = 0; hops <= MAX_ALIASES; hops++) {
    const seen = { server, ...recordsIn(response, owner) };
    const judgement = judgeSeen(seen, check.expected, wanted);
    servers.push({ server, ...judgement });
    if ('texts' in seen || judgement.verdict !== 'ok') return { servers, viaResolver: true };
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
