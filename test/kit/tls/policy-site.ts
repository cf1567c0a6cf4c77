import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { DnsTrouble, type Resolver } from '#services/router/delivery/resolver.ts';
import { Rcode, Type } from '#shared/dns/message.ts';
import { address, answerTo, FakeDns, txt } from '#test/kit/dns/fake-dns.ts';
import { type Issued, issue } from './issue.ts';

/**
 * Domains that publish policies of MTA-STS: their records in DNS, and one web server for all of them on 127.0.0.1 with
 * certificates of an authority that nobody trusts but those who are given it.
 */

/** What a domain has, and what its web server answers. */
export type Published = {
  /** TXT records at `_mta-sts`; `trouble`: no name server can tell. */
  record: string | string[] | 'trouble';
  answer: string | ((response: ServerResponse) => void);
  /** Default: a good one for `mta-sts.<domain>`. */
  certificate?: Issued;
  /** Addresses of the web server; default: where it is. */
  addresses?: string[];
};

export const POLICY = 'version: STSv1\nmode: enforce\nmx: mx.example\nmax_age: 604800\n';

export class PolicySite implements AsyncDisposable {
  /** Domains of which the policy was asked for, in this order. */
  readonly asked: string[] = [];
  readonly authority: Issued;
  readonly #domains = new Map<string, Published>();
  readonly #contexts = new Map<string, SecureContext>();
  readonly #server: Server;
  readonly #dns: FakeDns[] = [];

  private constructor(authority: Issued, own: Issued) {
    this.authority = authority;
    this.#server = createTlsServer({
      cert: own.certificate,
      key: own.key,
      SNICallback: (name, done) => done(null, this.#contexts.get(name)),
    });
    this.#server.on('request', ({ headers: { host = '' }, url }, response) => {
      const domain = host.replace(/^mta-sts\.|:.*/g, '');
      this.asked.push(domain);
      const published = this.#domains.get(domain);
      if (published === undefined || url !== '/.well-known/mta-sts.txt') {
        response.writeHead(404).end();
      } else if (typeof published.answer === 'string') {
        response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' }).end(published.answer);
      } else {
        published.answer(response);
      }
    });
  }

  static async start(): Promise<PolicySite> {
    const authority = await issue('Authority of the tests', { ca: true });
    const site = new PolicySite(authority, await issue('web.test', { by: authority, names: ['web.test'] }));
    site.#server.listen(0, '127.0.0.1');
    await once(site.#server, 'listening');
    return site;
  }

  /** What `createStsPolicies` needs to get there. */
  get webServers(): { ca: string; port: number } {
    return { ca: this.authority.certificate, port: (this.#server.address() as AddressInfo).port };
  }

  async publish(domain: string, published: Partial<Published> = {}): Promise<void> {
    const before = this.#domains.get(domain) ?? { record: 'v=STSv1; id=1', answer: POLICY };
    const host = `mta-sts.${domain}`;
    const certificate = published.certificate ?? (await issue(host, { by: this.authority, names: [host] }));
    this.#domains.set(domain, { ...before, ...published });
    this.#contexts.set(host, createSecureContext({ cert: certificate.certificate, key: certificate.key }));
  }

  /** DNS as delivery sees it, without caches. */
  resolver(): Resolver {
    const known = { authenticated: false, expires: Number.POSITIVE_INFINITY };
    const ask = async (name: string) => {
      const records = this.#texts(name);
      if (records === 'trouble') throw new DnsTrouble('no name server answers', false);
      return records.length === 0 ? { kind: 'none', exists: false, ...known } : { kind: 'found', records, ...known };
    };
    return {
      mx: async () => ({ exists: false, records: [], authenticated: false }),
      addresses: async (host) => ({ addresses: this.#addresses(host), ttl: 60, authenticated: false }),
      machine: async (host) => ({ addresses: this.#addresses(host), ttl: 60, authenticated: false }),
      ask: ask as Resolver['ask'],
    };
  }

  /** A name server with the records. */
  async startDns(): Promise<FakeDns> {
    const dns = await FakeDns.start((query) => {
      const [{ name, type } = { name: '', type: 0 }] = query.questions;
      const texts = this.#texts(name);
      if (texts === 'trouble') return answerTo(query, { rcode: Rcode.FORMERR });
      const answers =
        type === Type.TXT
          ? texts.map((text) => txt(name, text))
          : type === Type.A
            ? this.#addresses(name).map((ip) => address(name, ip))
            : [];
      return answerTo(query, answers.length === 0 ? { rcode: Rcode.NXDOMAIN } : { answers });
    });
    this.#dns.push(dns);
    return dns;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await Promise.all(this.#dns.map((dns) => dns[Symbol.asyncDispose]()));
  }

  #texts(name: string): string[] | 'trouble' {
    const record = this.#domains.get(name.replace(/^_mta-sts\./, ''))?.record ?? [];
    if (!name.startsWith('_mta-sts.')) return [];
    return record === 'trouble' || Array.isArray(record) ? record : [record];
  }

  #addresses(host: string): string[] {
    const published = this.#domains.get(host.replace(/^mta-sts\./, ''));
    return host.startsWith('mta-sts.') && published !== undefined ? (published.addresses ?? ['127.0.0.1']) : [];
  }
}
