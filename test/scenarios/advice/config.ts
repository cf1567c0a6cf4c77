import type { NameServer } from '#test/kit/dns/name-server.ts';
import type { ZoneServers } from '#test/kit/dns/zone-servers.ts';

/** The configuration of both nodes: domains, routes and limits, each of which keeps mail for a reason of its own. */

/** Domains whose mail waits until it is signed: outside DNS, with records that are published by hand, and by update. */
const LOCAL = ['nokey', 'spare', 'revoked', 'parent', 'silent', 'store', 'retired', 'whole'];
const BY_HAND = ['hand', 'made', 'frozen'];
const UPDATED = ['lag', 'away', 'tsig', 'denied'];

/** No zone has it. */
export const WRONG_SECRET = Buffer.alloc(32, 1).toString('base64');
export const ZONES = [...BY_HAND, ...UPDATED].map((name) => `${name}.test`);

export type Ports = { one: number; two: number; down: number; dead: number; milter: number };
type Where = {
  bus: string;
  names: NameServer;
  zones: ZoneServers;
  ports: Ports & { plain: number; secure: number; login: number };
};

export function configOf({ bus, names, zones, ports }: Where): string {
  const enforced = (name: string, more: string): string =>
    `  - { name: ${name}.test, signing: { mode: enforce }${more} }`;
  const [primary = ''] = zones.servers;
  const zone = (name: string, servers: readonly string[], update?: object): string =>
    `    - ${JSON.stringify({ name: `${name}.test`, servers, ...(update && { update }) })}`;
  const key = { server: primary, key: 'sealpost', algorithm: 'hmac-sha256', secret: zones.secret };
  const host = `127.0.0.1:${ports.plain}`;
  return `
bus: { servers: ["${bus}"] }
queue: { retry: { first: 1h, max: 1h } }
dsn: { null-reverse-path: hold }
authentication: { delay: 0s }
rates:
  destinations: [{ to: limit.test, messages: 1/h }]
  senders: [{ from: often.test, messages: 1/h }]
checks: { greylist: { enabled: true, delay: 1s, clients: [127.0.0.2] } }
rules:
  - { name: court, when: { to: [court.test] }, hold: true }
  - { name: legal, when: { to: [journaled.test] }, journal: { to: archive@vault.test } }
domains:
  - { name: example.com, local: true, signing: { mode: off } }
  - { name: chosen.test, signing: { mode: enforce, selectors: [s9] }, keys: { proof: none } }
  - { name: alias.test, sign-as: whole.test, signing: { mode: enforce } }
${LOCAL.map((name) => enforced(name, ', keys: { proof: none }')).join('\n')}
${[...BY_HAND, ...UPDATED].map((name) => enforced(name, '')).join('\n')}
dns:
  servers: ["${names.server}"]
  timeout: 1s
  zones:
${BY_HAND.map((name) => zone(name, [primary])).join('\n')}
${['lag', 'away'].map((name) => zone(name, zones.servers, key)).join('\n')}
${zone('tsig', [primary], { ...key, secret: WRONG_SECRET })}
${zone('denied', [primary], { ...key, key: 'transfer-1' })}
routes:
  - { to: good.test, via: "smtp://${host}" }
  - { to: example.com, via: "smtp://${host}" }
  - { to: court.test, via: "smtp://${host}" }
  - { to: journaled.test, via: "smtp://${host}" }
  - { to: vault.test, via: "smtp://${host}" }
  - { to: limit.test, via: "smtp://${host}" }
  - { to: redirected.test, via: "smtp://${host}" }
  - { to: moving.test, via: "smtp://${host}" }
  - { to: hop.test, via: "smtp://localhost:${ports.plain}" }
  - { to: down.test, via: "smtp://127.0.0.1:${ports.down}" }
  - { to: dead.test, via: "smtp://127.0.0.1:${ports.dead}" }
  - { to: tls.test, via: "smtp://${host}", tls: required }
  - { to: cert.test, via: "smtp://127.0.0.1:${ports.secure}", tls: verified }
  - { to: login.test, via: "smtp://me@127.0.0.1:${ports.login}", password: wrong }
  - { to: nohost.test, via: "smtp://nohost.far.test:${ports.plain}" }
  - { to: names.test, via: "smtp://sink.far.test:${ports.plain}" }`;
}
