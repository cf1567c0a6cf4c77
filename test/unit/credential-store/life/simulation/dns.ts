import type { Expected } from '#services/credential-store/dns/views.ts';
import type { KeyRecord } from '#services/credential-store/records/domain-record.ts';
import { SealpostError } from '#shared/errors.ts';
import type { DnsView } from '#shared/keys/key-status.ts';
import type { Chance } from '#test/kit/simulation/chance.ts';
import type { VirtualTime } from '#test/kit/simulation/virtual-time.ts';

/**
 * Three authoritative servers: the first takes updates, the others copy its zone some time after each. A record is its
 * p= value, '' when it is revoked.
 */

type Server = { zone: Map<string, string>; answers: boolean; lag: number };

export class SimulatedDns {
  /** What the server does with updates. */
  updates: 'taken' | 'fail' | 'refused' = 'taken';
  /** Names whose records another program changed. */
  readonly touched = new Set<string>();
  /** Called before our own update takes a key's record away or empties it. */
  onLoss: (name: string, publicKey: string) => void = () => undefined;
  readonly servers: Server[] = [0, 0, 0].map(() => ({ zone: new Map(), answers: true, lag: 100 }));
  readonly #time: VirtualTime;
  readonly #chance: Chance;

  constructor(time: VirtualTime, chance: Chance) {
    this.#time = time;
    this.#chance = chance;
  }

  /** Whether every server has this p= value, whether it answers or not. */
  everywhere(name: string, publicKey: string): boolean {
    return this.servers.every((s) => s.zone.get(name) === publicKey);
  }

  publish(name: string, key: KeyRecord): void {
    const there = this.#primary.zone.get(name);
    this.#assertTaken();
    if (there === key.publicKey) return;
    if (there !== undefined) throw new SealpostError('dns-refused', `there is another record at ${name}`);
    this.set(name, key.publicKey);
  }

  revoke(name: string, key: KeyRecord): void {
    this.#assertTaken();
    const there = this.#primary.zone.get(name);
    if (there !== undefined && there !== key.publicKey && there !== '') {
      throw new SealpostError('dns-refused', `there is another record at ${name}`);
    }
    if (there === key.publicKey) this.onLoss(name, key.publicKey);
    this.set(name, '');
  }

  remove(name: string, key: KeyRecord): void {
    this.#assertTaken();
    const there = this.#primary.zone.get(name);
    if (there === key.publicKey) this.onLoss(name, key.publicKey);
    if (there === key.publicKey || there === '') this.set(name, undefined);
  }

  /** Write to the zone, with permission. */
  set(name: string, value: string | undefined): void {
    put(this.#primary.zone, name, value);
    for (const server of this.servers.slice(1)) this.copyTo(server);
  }

  copyTo(server: Server): void {
    this.#time.after(server.lag * this.#chance.between(0.2, 1), () => {
      server.zone = new Map(this.#primary.zone);
    });
  }

  /** What a node sees that asks every server. */
  look(node: string, name: string, key: KeyRecord, expected: Expected): DnsView {
    const servers = this.servers.map((server, i) => ({ server: `ns${i + 1}`, ...judge(server, name, key, expected) }));
    const wrong = servers.find((s) => s.verdict !== 'ok');
    const verdict = wrong?.verdict ?? 'ok';
    const summary = wrong === undefined ? 'every server is right' : `${wrong.server} ${wrong.detail}`;
    return { node, verdict, summary, servers, at: this.#time.now };
  }

  get #primary(): Server {
    const [primary] = this.servers;
    if (primary === undefined) throw new Error('no servers');
    return primary;
  }

  #assertTaken(): void {
    if (this.updates === 'fail') throw new SealpostError('dns-failed', 'ns1 answers SERVFAIL');
    if (this.updates === 'refused') throw new SealpostError('dns-refused', 'ns1 answers REFUSED');
  }
}

function put(zone: Map<string, string>, name: string, value: string | undefined): void {
  if (value === undefined) zone.delete(name);
  else zone.set(name, value);
}

function judge(
  { zone, answers }: Server,
  name: string,
  key: KeyRecord,
  expected: Expected,
): { verdict: DnsView['verdict']; detail: string } {
  if (!answers) return { verdict: 'unreachable', detail: 'does not answer' };
  const there = zone.get(name);
  if (expected === 'absent') {
    return there === undefined ? { verdict: 'ok', detail: '' } : { verdict: 'different', detail: 'has a record' };
  }
  if (there === undefined) return { verdict: 'missing', detail: 'has no record' };
  const wanted = expected === 'key' ? key.publicKey : '';
  return there === wanted ? { verdict: 'ok', detail: '' } : { verdict: 'different', detail: 'has another record' };
}
