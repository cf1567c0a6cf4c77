import { getServers } from 'node:dns';
import { BoundedMap } from '#shared/bounded-map.ts';
import { ask, parseServer, type Server } from '#shared/dns/exchange.ts';
import {
  malformed,
  nameOf,
  Rcode,
  type ReceivedRecord,
  type Response,
  rcodeName,
  recordsAt,
  Type,
} from '#shared/dns/message.ts';
import { exchangeOf } from '#shared/dns/mx.ts';
import { txtOf } from '#shared/dns/txt.ts';
import { errorCode, errorText, reasonText } from '#shared/errors.ts';

/**
 * Questions of the checks to DNS, and the answers of the last minutes.
 *
 * Own queries and not node:dns, because the time for which "there is nothing" holds is in the SOA record of the answer
 * (RFC 2308 §5), which node:dns does not show. The servers recurse; they are asked one after the other, beginning with the
 * one that answered last.
 *
 * A question is: unknown → asked (the same question meanwhile shares the one query) → known until it expires → unknown.
 * That nobody could say is remembered too, for `TROUBLE_MS`: a silent server costs the time limit once and not for every
 * recipient. Nothing of an answer is trusted: records of other names, types and classes are passed over, of those left
 * `MOST_RECORDS` are kept, each cut to `LONGEST`, and an answer that cannot be read is trouble.
 *
 * Memory: `MOST_KNOWN` answers; the one that was learned longest ago makes room. At most `MOST_ASKED` questions are under
 * way (each takes a socket), and `MOST_OF_ONE` of one network, so that its slow ones leave room for those of others; more are
 * trouble immediately, which is not remembered.
 */

export type RecordType = 'A' | 'AAAA' | 'MX' | 'TXT';

/**
 * - found: the records of the name, or of what its aliases lead to: addresses, names of hosts ('' for a null MX), texts
 * - none: there is no such record; `exists`: the name is there with others
 * - trouble: nobody could say
 */
export type DnsAnswer =
  | { kind: 'found'; records: string[] }
  | { kind: 'none'; exists: boolean }
  | { kind: 'trouble'; error: string };

type Known = { answer: DnsAnswer; expires: number };

const MOST_KNOWN = 10_000;
const MOST_ASKED = 500;
const MOST_OF_ONE = 50;
const MOST_RECORDS = 16;
const LONGEST = 256;
const MOST_ALIASES = 16;
/** However long an answer says that it holds. */
const LONGEST_MS = 3_600_000;
const SHORTEST_MS = 1000;
/** How long "there is nothing" holds where the answer does not say. */
const NONE_MS = 60_000;
const TROUBLE_MS = 30_000;

export class DnsCache {
  readonly #servers: Server[];
  readonly #known = new BoundedMap<string, Known>(MOST_KNOWN);
  readonly #asked = new Map<string, Promise<DnsAnswer>>();
  /** How many of them are a network's; those of none are not here. */
  readonly #askedBy = new Map<string, number>();
  /** The server to begin with. */
  #first = 0;

  /** `servers`: address or address:port, empty for the system's. */
  constructor({ servers }: { servers: readonly string[] }) {
    this.#servers = (servers.length > 0 ? servers : getServers()).map(parseServer);
  }

  /** The answer that is remembered. */
  known(name: string, type: RecordType): DnsAnswer | undefined {
    const known = this.#known.get(keyOf(name, type));
    return known !== undefined && known.expires > performance.now() ? known.answer : undefined;
  }

  /**
   * The records of a name, without a promise where they are known. Never fails, nor takes longer than `timeoutMs`.
   * `network`: whose question it is, where anybody can cause any.
   */
  lookup(
    name: string,
    type: RecordType,
    timeoutMs: number,
    network?: string | undefined,
  ): DnsAnswer | Promise<DnsAnswer> {
    const known = this.known(name, type);
    if (known !== undefined) return known;
    const key = keyOf(name, type);
    const asked = this.#asked.get(key);
    if (asked !== undefined) return within(asked, timeoutMs, noAnswer(timeoutMs));
    if (this.#asked.size >= MOST_ASKED) return trouble('too many questions are under way');
    if (network !== undefined && (this.#askedBy.get(network) ?? 0) >= MOST_OF_ONE) {
      return trouble(`too many questions of ${network} are under way`);
    }
    const answer = this.#learn(key, name, type, timeoutMs);
    this.#asked.set(key, answer);
    return network === undefined ? answer : this.#counted(network, answer);
  }

  async #counted(network: string, answer: Promise<DnsAnswer>): Promise<DnsAnswer> {
    this.#askedBy.set(network, (this.#askedBy.get(network) ?? 0) + 1);
    try {
      return await answer;
    } finally {
      const left = (this.#askedBy.get(network) ?? 0) - 1;
      if (left > 0) this.#askedBy.set(network, left);
      else this.#askedBy.delete(network);
    }
  }

  async #learn(key: string, name: string, type: RecordType, timeoutMs: number): Promise<DnsAnswer> {
    const learned = this.#ask(name, type, timeoutMs);
    const late = { answer: noAnswer(timeoutMs), expires: 0 };
    const { answer, expires } = await within(learned, timeoutMs, late);
    this.#asked.delete(key);
    this.#known.set(key, { answer, expires: answer.kind === 'trouble' ? performance.now() + TROUBLE_MS : expires });
    return answer;
  }

  /** Ask one server after the other until one can say. Never fails. */
  async #ask(name: string, type: RecordType, timeoutMs: number): Promise<Known> {
    const end = performance.now() + timeoutMs;
    let error = 'no name server is known';
    for (let tried = 0; tried < this.#servers.length; tried++) {
      const left = end - performance.now();
      const server = this.#servers[this.#first % this.#servers.length];
      if (server === undefined || left <= 0) break;
      try {
        const question = { name, type: Type[type] };
        const response = await ask(server, question, Math.ceil(left / (this.#servers.length - tried)), true);
        if (response.rcode === Rcode.NOERROR || response.rcode === Rcode.NXDOMAIN) return read(response, name, type);
        error = `${server.address} answers ${rcodeName(response.rcode)}`;
      } catch (problem) {
        // No such name can be in DNS.
        if (errorCode(problem) === 'dns-name') return expiring({ kind: 'none', exists: false }, NONE_MS);
        error = `${server.address}: ${errorCode(problem) === undefined ? errorText(problem) : reasonText(problem)}`;
      }
      this.#first = (this.#first + 1) % this.#servers.length;
    }
    return expiring(trouble(error), TROUBLE_MS);
  }
}

/** What an answer says. Fails with `dns-malformed`. */
function read(response: Response, name: string, type: RecordType): Known {
  let owner = name.toLowerCase();
  let ttl = Number.POSITIVE_INFINITY;
  for (let aliases = 0; aliases <= MOST_ALIASES; aliases++) {
    const found = recordsAt(response, owner, Type[type]).slice(0, MOST_RECORDS);
    if (found.length > 0) {
      const records = found.map((record) => short(PARSE[type](response, record)));
      return expiring({ kind: 'found', records }, Math.min(ttl, ...found.map((r) => r.ttl)) * 1000);
    }
    const [alias] = recordsAt(response, owner, Type.CNAME);
    if (alias === undefined) {
      if (isReferral(response)) throw malformed('it names other servers to ask');
      const exists = aliases > 0 || response.rcode === Rcode.NOERROR;
      return expiring({ kind: 'none', exists }, Math.min(ttl * 1000, noneMs(response)));
    }
    ttl = Math.min(ttl, alias.ttl);
    owner = nameOf(response, alias);
  }
  throw malformed('its aliases come to no end');
}

const PARSE: Record<RecordType, (response: Response, record: ReceivedRecord) => string> = {
  A: (_, { rdata }) => {
    if (rdata.length !== 4) throw malformed('an A record does not have four bytes');
    return rdata.join('.');
  },
  AAAA: (_, { rdata }) => {
    if (rdata.length !== 16) throw malformed('an AAAA record does not have sixteen bytes');
    return rdata.toString('hex').replace(/.{4}(?!$)/g, '$&:');
  },
  MX: exchangeOf,
  TXT: (_, record) => txtOf(record),
};

function keyOf(name: string, type: RecordType): string {
  return `${type} ${name.toLowerCase()}`;
}

/** The beginning of a text, as a text of its own: a slice would keep the whole one in memory. */
function short(text: string): string {
  return text.length <= LONGEST ? text : Buffer.from(text.slice(0, LONGEST), 'latin1').toString('latin1');
}

/** A server that does not recurse says where else to ask (RFC 2308 §2.2), which is not that there is nothing. */
function isReferral({ rcode, authorities }: Response): boolean {
  const has = (type: number) => authorities.some((record) => record.type === type);
  return rcode === Rcode.NOERROR && has(Type.NS) && !has(Type.SOA);
}

/** How long there is nothing, in ms: the smaller one of the TTL of the SOA record and its last field (RFC 2308 §5). */
function noneMs({ authorities }: Response): number {
  const soa = authorities.find((record) => record.type === Type.SOA);
  if (soa === undefined || soa.rdata.length < 22) return NONE_MS;
  return Math.min(soa.ttl, soa.rdata.readUInt32BE(soa.rdata.length - 4)) * 1000;
}

function expiring(answer: DnsAnswer, ms: number): Known {
  return { answer, expires: performance.now() + Math.min(Math.max(ms, SHORTEST_MS), LONGEST_MS) };
}

function trouble(error: string): DnsAnswer {
  return { kind: 'trouble', error };
}

function noAnswer(timeoutMs: number): DnsAnswer {
  return trouble(`no answer within ${timeoutMs / 1000} s`);
}

async function within<T>(answer: Promise<T>, ms: number, late: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timedOut = new Promise<T>((resolve) => {
    timer = setTimeout(resolve, ms, late);
  });
  return await Promise.race([answer, timedOut]).finally(() => clearTimeout(timer));
}
