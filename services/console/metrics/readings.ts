import { client } from '#cluster/actor.ts';
import type { Bus } from '#cluster/bus/bus.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { type Member, memberContract } from '#cluster/members/member-contract.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { listenerContract } from '#services/listener/contract.ts';
import { policyContract } from '#services/policy/contract.ts';
import { routerContract } from '#services/router/contract.ts';
import { signerContract } from '#services/signer/contract.ts';
import type { Calls, ServiceName } from '#services/topology.ts';
import type { Contract } from '#shared/contract.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { gauge } from '#shared/metrics.ts';
import type { CertificateStatus } from '#shared/tls/certificate-status.ts';
import { consoleContract } from '../contract.ts';
import { forgetWebhooks, readWebhooks } from './webhooks.ts';

/**
 * What is not counted but read when somebody asks: the state of the services of this very process, by the way that all calls
 * take. A service that does not answer is down (`sealpost_service_up`), and nothing else is said of it.
 */

/** The process that is asked. */
export type Watched = { bus: Bus; settings: Settings };

/** How long a service may take to answer. */
const SERVICE_MS = 3000;

const up = gauge('service_up', 'Whether a service of this process answers', ['service']);
const connected = gauge('bus_connected', 'Whether a NATS server is reached', []);
const refused = gauge('config_refused', 'Whether a change of the configuration file is not in force', []);
const processes = gauge('cluster_processes', 'Processes of the cluster, by their state as this one sees it', ['state']);

const open = gauge('smtp_sessions_open', 'SMTP sessions that are open', ['listener']);
const queued = gauge('queue_messages', 'Messages of this node in its queue, by their state', ['state']);
const refusing = gauge('queue_refusing', 'Whether the queue takes no mail now', []);
const suspended = gauge('queue_directives', 'What operators have suspended or redirected', ['kind']);
const copies = gauge('queue_copies', 'Second copies: those elsewhere, those missing, and those held for others', [
  'state',
]);
const lease = gauge('queue_lease', 'Whether this node may deliver mail that has a copy elsewhere', []);
const unsigned = gauge('unsigned_messages', 'Messages sent unsigned in best-effort mode since the start', ['domain']);
const lostTls = gauge('destinations_without_tls', 'Destinations that had TLS before and offer none now', []);
const damaged = gauge('damaged', 'Damaged messages set aside, and damage of stores not dealt with', ['what']);

const usable = gauge('signer_keys', 'Keys of the signer, by whether it can sign with them', ['usable']);
const behind = gauge('behind', 'Whether a service may not have the newest', ['service']);
const keys = gauge('keys', 'DKIM keys, by their state', ['state']);
const stuck = gauge('key_problem', 'Keys that do not come on: 1, or 2 where a person is needed', [
  'domain',
  'selector',
]);
const expires = gauge('certificate_expires_seconds', 'When a certificate of the cluster ends, in Unix time', ['name']);
const order = gauge('certificate_problem', 'Certificates that could not be ordered', ['name']);

const signedIn = gauge('console_sessions', 'Sessions of people who are signed in to the console', []);

/** What is said of a service: `forget` takes all of it back; `ask` asks it, and answers what puts in what it said. */
type Reading = { forget(): void; ask(node: Watched): Promise<() => void> };

const READ: Record<ServiceName, Reading> = {
  listener: {
    forget: () => {
      open.reset();
      behind.remove({ service: 'listener' });
    },
    ask: async (node) => {
      const { listeners, sharedBehind } = await ask(node, listenerContract)['status-show']({}, here(node));
      return () => {
        for (const { name, sessions } of listeners) open.set({ listener: name }, sessions);
        behind.set({ service: 'listener' }, Number(sharedBehind !== undefined));
      };
    },
  },
  policy: {
    forget: () => undefined,
    // Its status asks the servers of LDAP.
    ask: async (node) => {
      await ask(node, policyContract)['lock-list']({}, here(node));
      return () => undefined;
    },
  },
  router: {
    forget: () => {
      for (const one of [queued, suspended, unsigned, copies]) one.reset();
      for (const one of [refusing, lostTls, lease]) one.remove();
      for (const what of ['messages', 'queue']) damaged.remove({ what });
      forgetWebhooks('router');
    },
    ask: async (node) => {
      const router = ask(node, routerContract);
      const status = await router['status-show']({}, here(node));
      const { webhooks } = await router['webhook-list']({}, here(node));
      return () => {
        readRouter(status);
        readWebhooks('router', webhooks);
      };
    },
  },
  signer: {
    forget: () => {
      usable.reset();
      behind.remove({ service: 'signer' });
    },
    ask: async (node) => {
      const status = await ask(node, signerContract)['status-show']({}, here(node));
      return () => {
        usable.set({ usable: 'yes' }, status.keys);
        usable.set({ usable: 'no' }, status.unusable.length);
        behind.set({ service: 'signer' }, Number(status.behind !== undefined));
      };
    },
  },
  'credential-store': {
    forget: () => {
      for (const one of [keys, stuck, expires, order]) one.reset();
      damaged.remove({ what: 'credentials' });
      behind.remove({ service: 'credential-store' });
      forgetWebhooks('credential-store');
    },
    ask: async (node) => {
      const store = ask(node, credentialStoreContract);
      const { damage } = await store['status-show']({}, here(node));
      const first = await store['key-list']({}, here(node));
      const all = [...first.keys];
      for (let after = first.next; after !== undefined; ) {
        const page = await store['key-list']({ after }, here(node));
        all.push(...page.keys);
        after = page.next;
      }
      const { certificates } = await store['certificate-list']({}, here(node));
      const { webhooks } = await store['webhook-list']({}, here(node));
      return () => {
        damaged.set({ what: 'credentials' }, damage?.length ?? 0);
        readKeys(all);
        behind.set({ service: 'credential-store' }, Number(first.behind !== undefined));
        readCertificates(certificates);
        readWebhooks('credential-store', webhooks);
      };
    },
  },
  console: {
    forget: () => signedIn.remove(),
    ask: async (node) => {
      // It waits for its section, and is not down.
      if (node.settings.current.console === undefined) return () => signedIn.set(0);
      const { sessions } = await ask(node, consoleContract)['status-show']({}, here(node));
      return () => signedIn.set(sessions);
    },
  },
};

/** Ask the services of this process, so that the gauges are those of now. Never rejects. */
export async function read(node: Watched, services: readonly ServiceName[]): Promise<void> {
  const { settings, bus } = node;
  if (settings.current.bus.servers.length > 0) connected.set(Number(bus.connected));
  refused.set(Number(settings.refused !== undefined));
  const asked = services.map(async (service) => {
    const { ask: question, forget } = READ[service];
    const put = await question(node).catch(() => undefined);
    // What it said before may not be so any more.
    forget();
    put?.();
    up.set({ service }, Number(put !== undefined));
  });
  const members = await ask(node, memberContract)
    ['member-list']({}, here(node))
    .catch(() => undefined);
  if (members !== undefined) readMembers(members.members);
  await Promise.all(asked);
}

type RouterStatus = Awaited<ReturnType<Calls<'operator', 'router'>['status-show']>>;

function readRouter(status: RouterStatus): void {
  for (const state of ['active', 'deferred', 'hold'] as const) queued.set({ state }, status[state]);
  damaged.set({ what: 'messages' }, status.corrupt);
  damaged.set({ what: 'queue' }, status.damage?.length ?? 0);
  refusing.set(Number(status.refusing !== undefined));
  for (const { kind } of status.directives ?? []) suspended.inc({ kind });
  for (const { domain, count } of status.unsigned) unsigned.inc({ domain }, count);
  lostTls.set(status.lostTls?.length ?? 0);
  if (status.copies === undefined) return;
  for (const state of ['elsewhere', 'missing', 'held'] as const) copies.set({ state }, status.copies[state]);
  lease.set(Number(status.copies.lease === 'held'));
}

function readMembers(members: readonly Member[]): void {
  processes.reset();
  // One that said goodbye is missed by nobody.
  for (const { state, stopped } of members) processes.inc({ state: stopped ? 'stopped' : state });
}

function readKeys(all: readonly KeyStatus[]): void {
  for (const { state, domain, selector, problem } of all) {
    keys.inc({ state });
    if (problem !== undefined) stuck.set({ domain, selector }, problem.permanent ? 2 : 1);
  }
}

function readCertificates(all: readonly CertificateStatus[]): void {
  for (const { name, current, renewal } of all) {
    if (current !== undefined) expires.set({ name }, current.until / 1000);
    order.set({ name }, Number(renewal?.problem !== undefined));
  }
}

function ask<C extends Contract>({ bus }: Watched, contract: C) {
  return client(bus, contract);
}

/** With the node's name the question stays in this process. */
function here({ settings }: Watched): { node: string; timeout: number } {
  return { node: settings.current.node.name, timeout: SERVICE_MS };
}
