import { setMaxListeners } from 'node:events';
import { domainToASCII } from 'node:url';
import { errorCode, errorText, reasonText } from '../errors.ts';
import { aliasLoop, readAnswer, type Said } from './answer.ts';
import { AnswerCache } from './answer-cache.ts';
import { type AskOptions, ask } from './exchange.ts';
import { Rcode, type Response, rcodeName, Type } from './message.ts';
import { decodeName, encodeName } from './name.ts';
import { type RecordData, type RecordType, recordSize } from './records.ts';
import { resolversOf, type Server, serverText } from './server.ts';

/**
 * Questions to resolvers, and their answers for as long as these hold.
 *
 * Own queries and not node:dns, which does not show how long "there is nothing" holds (RFC 2308 §5), nor whether the
 * resolver verified the answer with DNSSEC. The servers recurse; they are asked one after the other, beginning with the
 * one that answered last. An alias that a server did not follow is asked for in its turn.
 *
 * A question is: unknown → asked (the same question meanwhile shares the one query) → known until it expires → unknown.
 * A caller may stop waiting; the question goes on until `timeout`, and its answer is there for the next one. That nobody
 * could say is remembered too, for `TROUBLE_MS` (RFC 9520 §3.2): a silent server costs its time once.
 *
 * At most `MOST_ASKED` questions are under way (each takes a socket), and `MOST_OF_ONE` of one network, so that its slow
 * ones leave room for those of others; more are trouble immediately, which is not remembered.
 */

/**
 * - found: all records of the name, or of what its aliases lead to
 * - none: there is no such record; `exists`: the name, or the last of its aliases, is there with others
 * - trouble: nobody could say, because
 *   - failed: the servers of the domain fail, as a resolver says that works (SERVFAIL, aliases in a circle, rubbish)
 *   - refused: the resolver does not serve us, or not this question
 *   - silent: no resolver answers
 *   - busy: too many questions are under way
 * `expires`: by the clock of `performance.now()`. `authenticated`: the resolver says that DNSSEC proves it, which is worth
 * as much as the way to the resolver is safe (RFC 4035 §4.9.3).
 */
export type DnsAnswer<T extends RecordType = RecordType> =
  | { kind: 'found'; records: readonly RecordData[T][]; expires: number; authenticated: boolean }
  | { kind: 'none'; exists: boolean; expires: number; authenticated: boolean }
  | { kind: 'trouble'; cause: 'failed' | 'refused' | 'silent' | 'busy'; error: string; expires: number };

type Trouble = DnsAnswer & { kind: 'trouble' };

/**
 * `servers`: address or address:port, empty for those that the system has now. `timeout` in ms, of a question in all.
 * `longest`: for how many ms an answer is taken, however long it says that it holds.
 */
export type ResolverSettings = { servers: readonly string[]; timeout: number; longest?: number | undefined };
/** `waitMs`: how long the caller waits. `network`: whose question it is, where anybody can cause any. */
export type LookupOptions = { waitMs?: number | undefined; network?: string | undefined };

const MOST_ASKED = 500;
const MOST_OF_ONE = 50;
/** Questions for one answer, where servers do not follow aliases. */
const MOST_FOLLOWED = 8;
const LONGEST_MS = 3_600_000;
const SHORTEST_MS = 1000;
const TROUBLE_MS = 30_000;
/** What an answer takes of memory without its records, and a record without its data. */
const OVERHEAD = 100;

export class DnsResolver {
  #servers: Server[] = [];
  #timeoutMs = 0;
  #longestMs = LONGEST_MS;
  #known = new AnswerCache<DnsAnswer>();
  readonly #asked = new Map<string, Promise<DnsAnswer>>();
  /** How many of them are a network's; those of none are not here. */
  readonly #askedBy = new Map<string, number>();
  readonly #closing = new AbortController();
  /** The server to begin with. */
  #first = 0;

  constructor(settings: ResolverSettings) {
    this.configure(settings);
    // One listener for each question.
    setMaxListeners(0, this.#closing.signal);
  }

  /** For the questions from now on; what others than the servers now answered is forgotten. */
  configure({ servers, timeout, longest = LONGEST_MS }: ResolverSettings): void {
    const next = resolversOf(servers);
    this.#timeoutMs = timeout;
    this.#longestMs = longest;
    if (next.map(serverText).join() === this.#servers.map(serverText).join()) return;
    this.#servers = next;
    this.#known = new AnswerCache();
  }

  /** The longest that a question takes. */
  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** Give up the questions under way: nobody could say. */
  close(): void {
    this.#closing.abort();
  }

  /** The answer that is remembered. */
  known<T extends RecordType>(name: string, type: T): DnsAnswer<T> | undefined {
    return this.#known.get(keyOf(name, type)) as DnsAnswer<T> | undefined;
  }

  /** The records of a name, without a promise where they are known. Never fails. */
  lookup<T extends RecordType>(
    name: string,
    type: T,
    options: LookupOptions = {},
  ): DnsAnswer<T> | Promise<DnsAnswer<T>> {
    return this.#lookup(name, type, options) as DnsAnswer<T> | Promise<DnsAnswer<T>>;
  }

  #lookup(name: string, type: RecordType, { waitMs, network }: LookupOptions): DnsAnswer | Promise<DnsAnswer> {
    const key = keyOf(name, type);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const wait = Math.min(waitMs ?? this.#timeoutMs, this.#timeoutMs);
    const asked = this.#asked.get(key);
    if (asked !== undefined) return within(asked, wait);
    if (this.#asked.size >= MOST_ASKED) return trouble('busy', 'too many questions are under way');
    if (network !== undefined && (this.#askedBy.get(network) ?? 0) >= MOST_OF_ONE) {
      return trouble('busy', `too many questions of ${network} are under way`);
    }
    const answer = this.#learn(key, name, type);
    this.#asked.set(key, answer);
    if (network !== undefined) void this.#count(network, answer);
    return wait < this.#timeoutMs ? within(answer, wait) : answer;
  }

  async #count(network: string, answer: Promise<DnsAnswer>): Promise<void> {
    this.#askedBy.set(network, (this.#askedBy.get(network) ?? 0) + 1);
    await answer;
    const left = (this.#askedBy.get(network) ?? 0) - 1;
    if (left > 0) this.#askedBy.set(network, left);
    else this.#askedBy.delete(network);
  }

  async #learn(key: string, name: string, type: RecordType): Promise<DnsAnswer> {
    const known = this.#known;
    const answer = await within(this.#resolve(name, type), this.#timeoutMs);
    this.#asked.delete(key);
    known.set(key, answer, key.length + sizeOf(answer));
    return answer;
  }

  /** Follow the aliases to the records. Never fails. */
  async #resolve(name: string, type: RecordType): Promise<DnsAnswer> {
    const end = performance.now() + this.#timeoutMs;
    let owner: string;
    try {
      owner = decodeName(encodeName(asciiName(name)), 0).name;
    } catch {
      // No such name can be in DNS.
      return { kind: 'none', exists: false, authenticated: false, expires: expiry(TROUBLE_MS) };
    }
    const asked = new Set<string>();
    let ttl = Number.POSITIVE_INFINITY;
    let authenticated = true;
    while (!asked.has(owner) && asked.size < MOST_FOLLOWED) {
      asked.add(owner);
      const response = await this.#ask(owner, type, end);
      if ('kind' in response) return response;
      ttl = Math.min(ttl, response.said.ttl);
      authenticated &&= response.authenticated;
      const { said } = response;
      if (said.kind !== 'alias') return answerOf(said, authenticated, expiry(Math.min(ttl * 1000, this.#longestMs)));
      owner = said.target;
    }
    return trouble('failed', aliasLoop(owner).message);
  }

  /** Ask one server after the other until one can say. Never fails. */
  async #ask(name: string, type: RecordType, end: number): Promise<Answered | Trouble> {
    let worst: Trouble | undefined;
    for (let tried = 0; tried < this.#servers.length; tried++) {
      const left = end - performance.now();
      const server = this.#servers[this.#first % this.#servers.length];
      if (server === undefined || left <= 0 || this.#closing.signal.aborted) break;
      const answered = await askOne(server, name, type, {
        timeoutMs: Math.ceil(left / (this.#servers.length - tried)),
        signal: this.#closing.signal,
      });
      if (!('kind' in answered)) return answered;
      // One that works says more than those that are silent.
      if (worst === undefined || answered.cause === 'failed') worst = answered;
      this.#first = (this.#first + 1) % this.#servers.length;
    }
    return worst ?? trouble('silent', 'no name server is known, or there is no time left to ask one');
  }
}

function answerOf(said: Exclude<Said, { kind: 'alias' }>, authenticated: boolean, expires: number): DnsAnswer {
  return said.kind === 'found'
    ? { kind: 'found', records: said.records, expires, authenticated }
    : { kind: 'none', exists: said.exists, expires, authenticated };
}

type Answered = { said: Said; authenticated: boolean };

async function askOne(server: Server, name: string, type: RecordType, limits: AskOptions): Promise<Answered | Trouble> {
  try {
    const response = await ask(server, { name, type: Type[type] }, { ...limits, recursion: true });
    if (isTold(response)) return { said: readAnswer(response, name, type), authenticated: response.authenticated };
    const cause = response.rcode === Rcode.SERVFAIL ? 'failed' : 'refused';
    return trouble(cause, `${server.address} answers ${rcodeName(response.rcode)}`);
  } catch (error) {
    const code = errorCode(error);
    const cause = code === 'dns-alias' || code === 'dns-malformed' ? 'failed' : 'silent';
    const text = code === undefined ? errorText(error) : reasonText(error);
    return trouble(cause, `${server.address}: ${text}`);
  }
}

function isTold({ rcode }: Response): boolean {
  return rcode === Rcode.NOERROR || rcode === Rcode.NXDOMAIN;
}

function keyOf(name: string, type: RecordType): string {
  return `${type} ${name.toLowerCase()}`;
}

/** Without the root dot, and a name in other letters as DNS has it (RFC 5891). */
export function asciiName(name: string): string {
  const relative = name.endsWith('.') ? name.slice(0, -1) : name;
  return /[^\x00-\x7f]/.test(relative) ? domainToASCII(relative) || relative : relative;
}

function sizeOf(answer: DnsAnswer): number {
  const records = answer.kind === 'found' ? answer.records : [];
  return records.reduce((sum, record) => sum + OVERHEAD + recordSize(record), OVERHEAD);
}

function expiry(ms: number): number {
  return performance.now() + Math.max(ms, SHORTEST_MS);
}

function trouble(cause: Trouble['cause'], error: string): Trouble {
  return { kind: 'trouble', cause, error, expires: performance.now() + TROUBLE_MS };
}

async function within(answer: Promise<DnsAnswer>, ms: number): Promise<DnsAnswer> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<DnsAnswer>((resolve) => {
    timer = setTimeout(() => resolve(trouble('silent', `no answer within ${ms / 1000} s`)), ms);
  });
  return await Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
