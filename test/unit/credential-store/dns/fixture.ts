import type { DnsConfig } from '#cluster/config/schema/schema.ts';
import { checkRecord, type DnsVerdict, type ExpectedRecord } from '#services/credential-store/dns/proof.ts';
import { Type } from '#shared/dns/message.ts';
import { address, answerTo, type FakeAnswer, FakeDns, type Handler, pointer, txt } from '#test/kit/dns/fake-dns.ts';

/**
 * DNS for tests of the proof, whose servers answer as they please: a resolver on one port, and two name servers of
 * example.com and one of example.net on 127.0.0.2 to 127.0.0.4, on another port.
 */

export const NAME = 's1._domainkey.example.com';
export const P = '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=';
export const VALUE = `v=DKIM1; k=ed25519; p=${P}`;
export const KEY: ExpectedRecord = { kind: 'key', algorithm: 'ed25519', publicKey: P };
/** Of each question. Many tests wait for it; a busy machine needs part of it for an answer that does come. */
export const TIMEOUT = 400;

export const right: Handler = (query) => answerTo(query, { answers: [txt(query.questions[0]?.name ?? '', VALUE)] });
export const saying =
  (answer: FakeAnswer): Handler =>
  (query) =>
    answerTo(query, answer);
export const silent: Handler = () => undefined;
export const withTxt = (...texts: string[]): Handler => saying({ answers: texts.map((text) => txt(NAME, text)) });

/** The resolver's view: the name servers of two zones and their addresses, and the record as resolvers see it. */
export const resolving =
  (records: Parameters<typeof answerTo>[1] = { answers: [txt(NAME, VALUE)] }): Handler =>
  (query) => {
    const [{ name, type } = { name: '', type: 0 }] = query.questions;
    const known = [
      pointer(Type.NS, 'example.com', 'ns1.example.com'),
      pointer(Type.NS, 'example.com', 'ns2.example.com'),
      pointer(Type.NS, 'example.net', 'ns.example.net'),
      address('ns1.example.com', '127.0.0.2'),
      address('ns2.example.com', '127.0.0.3'),
      address('ns.example.net', '127.0.0.4'),
    ].filter((record) => record.name === name && record.type === type);
    return inCapitals(answerTo(query, { authoritative: false, ...(type === Type.TXT ? records : { answers: known }) }));
  };

export class DnsFixture implements AsyncDisposable {
  readonly resolver: FakeDns;
  readonly ns1: FakeDns;
  readonly ns2: FakeDns;
  readonly other: FakeDns;

  private constructor(resolver: FakeDns, ns1: FakeDns, ns2: FakeDns, other: FakeDns) {
    this.resolver = resolver;
    this.ns1 = ns1;
    this.ns2 = ns2;
    this.other = other;
  }

  static async start(): Promise<DnsFixture> {
    const resolver = await FakeDns.start(resolving());
    const ns1 = await FakeDns.start(right, '127.0.0.2');
    const ns2 = await FakeDns.start(right, '127.0.0.3', ns1.port);
    const other = await FakeDns.start(right, '127.0.0.4', ns1.port);
    return new DnsFixture(resolver, ns1, ns2, other);
  }

  /** All servers say what is right again. */
  reset(): void {
    this.resolver.handler = resolving();
    for (const server of [this.ns1, this.ns2, this.other]) server.handler = right;
    for (const server of this.#all) server.queries.length = 0;
  }

  config(zones: DnsConfig['zones'] = []): DnsConfig {
    return { servers: [this.resolver.server], timeout: TIMEOUT, dnssec: false, zones };
  }

  check(expected: ExpectedRecord = KEY, options: { cname?: string } = {}): Promise<DnsVerdict> {
    return checkRecord(this.config(), NAME, expected, { ...options, port: this.ns1.port });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#all.map((server) => server[Symbol.asyncDispose]()));
  }

  get #all(): FakeDns[] {
    return [this.resolver, this.ns1, this.ns2, this.other];
  }
}

/** A message with `example` in capitals wherever it stands, as names may be written (RFC 4343). */
export function inCapitals(message: Buffer): Buffer {
  return Buffer.from(message.toString('latin1').replaceAll('example', 'EXAMPLE'), 'latin1');
}

/** `server: verdict` of each server. */
export function verdicts(verdict: DnsVerdict): string[] {
  return verdict.servers.map((s) => `${s.server}: ${s.verdict}`);
}
