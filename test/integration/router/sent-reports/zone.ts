import { Class, type DnsRecord, Rcode, Type } from '#shared/dns/message.ts';
import { encodeName } from '#shared/dns/name.ts';
import { address, answerTo, FakeDns, txt } from '#test/kit/dns/fake-dns.ts';

/** What is in DNS, by name; more comes when keys are made. */
export class Zone implements AsyncDisposable {
  readonly #records = new Map<string, DnsRecord[]>();
  readonly #dns: FakeDns;

  private constructor(dns: FakeDns) {
    this.#dns = dns;
    dns.handler = (query) => {
      const { name = '', type = 0 } = query.questions[0] ?? {};
      const records = this.#records.get(name.toLowerCase());
      if (records !== undefined) return answerTo(query, { answers: records.filter((record) => record.type === type) });
      const isThere = [...this.#records.keys()].some((other) => other.endsWith(`.${name.toLowerCase()}`));
      return answerTo(query, { rcode: isThere ? Rcode.NOERROR : Rcode.NXDOMAIN });
    };
  }

  static async start(): Promise<Zone> {
    return new Zone(await FakeDns.start(() => undefined));
  }

  get server(): string {
    return this.#dns.server;
  }

  add(record: DnsRecord): void {
    this.#records.set(record.name, [...(this.#records.get(record.name) ?? []), record]);
  }

  text(name: string, text: string): void {
    this.add(txt(name, ...(text.match(/.{1,255}/g) ?? [])));
  }

  /** Its mail goes to `mx.<domain>`, at this address. */
  exchanger(domain: string, at: string): void {
    const rdata = Buffer.concat([Buffer.from([0, 10]), encodeName(`mx.${domain}`)]);
    this.add({ name: domain, type: Type.MX, class: Class.IN, ttl: 60, rdata });
    this.add(address(`mx.${domain}`, at));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#dns[Symbol.asyncDispose]();
  }
}
