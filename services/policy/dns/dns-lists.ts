import type { Config } from '#cluster/config/schema/schema.ts';
import { type IpAddress, parseIp } from '#shared/address/ip-address.ts';
import type { DnsAnswer, DnsResolver } from '#shared/dns/resolver.ts';
import { excerpt } from '#shared/text.ts';
import { pointerLabels } from './pointer-labels.ts';

/**
 * DNS lists of clients (RFC 5782): `2.0.0.127.list.example` has an A record in 127.0.0.0/8 where 127.0.0.2 is listed, and
 * a TXT record with the reason. All lists are asked concurrently.
 *
 * What the owner of a list does is not ours to suffer from. A client passes a list that is
 * - silent: no answer within `timeout`. After `MOST_TROUBLES` such answers in a row it is not asked for `PAUSE_MS`.
 * - broken: it lists 127.0.0.1, which no list may (§5). A list that was closed often lists everything. That is looked up
 *   only when a client is listed.
 * - refusing: by 127.255.255.x or 127.0.0.1 some say that they do not answer this resolver.
 * - of other words: its answers do not match `answers`.
 */

/** `passed`: the list has nothing against the client, or cannot be believed; `step` says which. */
type Found = { kind: 'listed'; step: string; text: string | undefined } | { kind: 'passed'; step: string };

/** What the lists say of a client. `listed`: the list that decides, an allow list before all block lists. */
export type ListsFound = {
  steps: string[];
  listed?: { by: string; on: 'allow' | 'block'; text: string | undefined } | undefined;
};

type ListConfig = Config['checks']['dns-lists']['block'][number];
type Warn = (key: string, fields: object, what: string) => void;

/** Answers of lists to resolvers that they do not serve: Spamhaus's, SURBL's and URIBL's. */
const REFUSED = /^127\.(?:255\.255\.\d+|0\.0\.1)$/;
const MOST_TROUBLES = 3;
const PAUSE_MS = 60_000;
/** Characters of a reason. */
const LONGEST_REASON = 200;

export class DnsLists {
  readonly #lists: List[];
  readonly #timeoutMs: number;

  constructor({ block, allow, timeout }: Config['checks']['dns-lists'], warn: Warn) {
    this.#lists = [
      ...allow.map((list) => new List(list, 'allow', warn)),
      ...block.map((list) => new List(list, 'block', warn)),
    ];
    this.#timeoutMs = timeout;
  }

  get any(): boolean {
    return this.#lists.length > 0;
  }

  /** Without a promise where every list was asked before. Never fails, and takes no longer than `timeout`. */
  about(clientAddress: string, records: DnsResolver): ListsFound | Promise<ListsFound> {
    const address = parseIp(clientAddress);
    if (address === undefined || !isPublic(address)) {
      return { steps: [`no DNS list is asked about ${clientAddress}, which is not a public address`] };
    }
    const found = this.#lists.map((list) => list.about(address, records, this.#timeoutMs));
    const conclude = (all: Found[]) => conclusion(this.#lists, all);
    return found.every((one) => !(one instanceof Promise))
      ? conclude(found as Found[])
      : Promise.all(found).then(conclude);
  }
}

/** 127.0.0.2 stands for a client that is listed, so loopback is asked about like any other address. */
function isPublic(address: IpAddress): boolean {
  return !['private', 'uniqueLocal', 'linkLocal', 'carrierGradeNat'].includes(address.range());
}

function conclusion(lists: readonly List[], found: readonly Found[]): ListsFound {
  const steps = found.map(({ step }) => step);
  // Allow lists stand first.
  const decisive = found.findIndex(({ kind }) => kind === 'listed');
  const [list, what] = [lists[decisive], found[decisive]];
  if (list === undefined || what?.kind !== 'listed') return { steps };
  return { steps, listed: { by: list.name, on: list.kind, text: what.text } };
}

/** One list and how it has answered lately. */
class List {
  readonly name: string;
  readonly kind: 'allow' | 'block';
  readonly #zone: string;
  readonly #answers: RegExp[];
  readonly #warn: Warn;
  #troubles = 0;
  /** The name that was in trouble last: all who wait for one answer hear of it. */
  #inTrouble = '';
  #pausedUntil = Number.NEGATIVE_INFINITY;

  constructor({ zone, name, answers }: ListConfig, kind: 'allow' | 'block', warn: Warn) {
    this.name = name ?? zone;
    this.kind = kind;
    this.#zone = zone;
    this.#answers = answers.map(patternOf);
    this.#warn = warn;
  }

  about(address: IpAddress, records: DnsResolver, timeoutMs: number): Found | Promise<Found> {
    const end = performance.now() + timeoutMs;
    const name = `${pointerLabels(address)}.${this.#zone}`;
    if (this.#pausedUntil > performance.now() && records.known(name, 'A') === undefined) {
      return this.#passed('is not asked for a minute: it did not answer');
    }
    const answer = records.lookup(name, 'A', { waitMs: timeoutMs });
    if (answer instanceof Promise) {
      return answer.then((learned) => {
        this.#note(name, learned);
        return this.#judge(learned, address, records, end);
      });
    }
    return this.#judge(answer, address, records, end);
  }

  #judge(answer: DnsAnswer<'A'>, address: IpAddress, records: DnsResolver, end: number): Found | Promise<Found> {
    if (answer.kind === 'none') return this.#passed('does not list the client');
    if (answer.kind === 'trouble') return this.#untold(answer.error);
    const known = answer.records.find((record) => this.#answers.some((pattern) => pattern.test(record)));
    const said = answer.records.slice(0, 3).join(', ');
    if (known === undefined) {
      if (answer.records.some((record) => REFUSED.test(record))) {
        return this.#untold(`it answers ${said}: it does not serve this resolver`);
      }
      // Those are for lists of other words; anything else is the address of a page where a list once was.
      if (!answer.records.every((record) => record.startsWith('127.'))) return this.#broken(`it answers ${said}`);
      return this.#passed(`answers ${said}, which is not in its answers`);
    }
    const waitMs = Math.max(1, end - performance.now());
    const own = records.lookup(`${pointerLabels(LOOPBACK[address.kind()])}.${this.#zone}`, 'A', { waitMs });
    const reason = records.lookup(`${pointerLabels(address)}.${this.#zone}`, 'TXT', { waitMs });
    const step = `${this.name} lists the client: ${known}`;
    return own instanceof Promise || reason instanceof Promise
      ? Promise.all([own, reason]).then(([health, text]) => this.#listed(step, health, text))
      : this.#listed(step, own, reason);
  }

  #listed(step: string, health: DnsAnswer, reason: DnsAnswer<'TXT'>): Found {
    if (health.kind === 'found') return this.#broken('it lists 127.0.0.1, and so maybe everything');
    if (health.kind === 'trouble') return this.#untold(health.error);
    const [text] = reason.kind === 'found' ? reason.records : [];
    return { kind: 'listed', step, text: text === undefined ? undefined : excerpt(text, LONGEST_REASON) };
  }

  /** Count troubles in a row. */
  #note(name: string, { kind }: DnsAnswer): void {
    if (kind === 'trouble' && this.#inTrouble === name) return;
    this.#inTrouble = kind === 'trouble' ? name : '';
    this.#troubles = kind === 'trouble' ? this.#troubles + 1 : 0;
    if (this.#troubles < MOST_TROUBLES) return;
    this.#troubles = 0;
    this.#pausedUntil = performance.now() + PAUSE_MS;
  }

  #passed(step: string): Found {
    return { kind: 'passed', step: `${this.name} ${step}` };
  }

  #untold(error: string): Found {
    this.#warn(`dns-list ${this.name}`, { list: this.name, error }, 'DNS list does not answer: clients pass');
    return this.#passed(`does not answer: ${error}`);
  }

  #broken(error: string): Found {
    this.#warn(`dns-list ${this.name}`, { list: this.name, error }, 'DNS list is broken: clients pass');
    return this.#passed(`is broken: ${error}`);
  }
}

/** What no list of either family lists (RFC 5782 §5): 127.0.0.1 and ::FFFF:7F00:1. */
const LOOPBACK = { ipv4: [127, 0, 0, 1], ipv6: [...new Array(10).fill(0), 255, 255, 127, 0, 0, 1] } as const;

/** `127.0.*.2-11` as an expression; the schema has checked its form. */
function patternOf(answer: string): RegExp {
  const parts = answer.split('.').map((part) => {
    if (part === '*') return '\\d+';
    const [least = 0, most = least] = part.split('-').map(Number);
    return `(?:${Array.from({ length: most - least + 1 }, (_, n) => least + n).join('|')})`;
  });
  return new RegExp(`^${parts.join('\\.')}$`);
}
