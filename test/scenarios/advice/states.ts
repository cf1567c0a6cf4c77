import type { Outside } from './administrator.ts';
import type { AdviceSite } from './site.ts';

/** States in which mail waits, or is refused for now, and what is done outside Sealpost where the advice asks for it. */

export type State = {
  from?: string;
  to: string;
  /** Who gets the mail that waits, where it is not `to`. */
  arrives?: string;
  /** The second node gets the mail. */
  onTwo?: true;
  /** Brings the state about, before the mail is sent. */
  before?: (site: AdviceSite) => Promise<unknown> | undefined;
  /** Brings it about with mail that is there. */
  after?: (site: AdviceSite, id: string) => Promise<unknown>;
  /** The cause that `sealpost why` gives. */
  cause: string;
  /** Where the advice comes from; `sealpost why <id>` where nothing is said. */
  ask?: (id: string) => string[];
  /** What lines of lists are about, beside the id of the mail. */
  about?: RegExp;
  outside?: (site: AdviceSite) => Outside[];
  /** The client is refused at the door, and sends its mail again from this address. */
  client?: string;
};

const edit =
  (site: AdviceSite, before: string, after: string): Outside[1] =>
  () =>
    site.edit(site.parts.one, before, after);

/** A line of a zone file, as `keys create` and `keys export-dns` print it. */
const RECORD = /^\S+\._domainkey\.\S+ .*TXT .*$/m;
const publish = (site: AdviceSite): Outside[] => [[RECORD, ([line]) => site.publish(line)]];

const unsigned = (name: string, more: Partial<State> = {}): State => ({
  ...{ from: `a@${name}.test`, to: `${name}@good.test`, cause: 'key-missing', about: new RegExp(`\\b${name}\\.test`) },
  ...more,
});

const created = (name: string) => (site: AdviceSite) =>
  site.keys['key-create']({ domain: `${name}.test`, selector: 's1' });

export const SIGNING: Record<string, State> = {
  'no key': unsigned('nokey'),
  'no key, of a subdomain': unsigned('parent', { from: 'a@mail.parent.test' }),
  'no key of the domain that it is signed as': unsigned('alias'),
  'no key, and records that are published by hand': unsigned('hand', { outside: publish }),
  'a key that nobody has published': unsigned('made', { before: created('made'), outside: publish }),
  'a key that was ready when the one before was revoked': unsigned('spare', {
    before: async ({ keys, activeKey, keyIs, heard }) => {
      const domain = 'spare.test';
      await activeKey(domain, 's1');
      await keys['key-create']({ domain, selector: 'e1', algorithm: 'ed25519', activate: false });
      await keyIs(domain, 'e1', 'proven');
      await keys['key-revoke']({ domain, selector: 's1', force: true });
      await heard();
    },
  }),
  'every key is revoked': unsigned('revoked', {
    before: async ({ keys, activeKey, heard }) => {
      await activeKey('revoked.test', 's1');
      await keys['key-revoke']({ domain: 'revoked.test', selector: 's1', force: true });
      await heard();
    },
  }),
  'the last key is retired': unsigned('retired', {
    before: async ({ keys, activeKey, heard }) => {
      await activeKey('retired.test', 's1');
      await keys['key-retire']({ domain: 'retired.test', selector: 's1', force: true });
      await heard();
    },
  }),
  'a rotation that is frozen, and its old key revoked': unsigned('frozen', {
    before: async (site) => {
      const { keys } = site;
      const domain = 'frozen.test';
      await keys['key-create']({ domain, selector: 's1', algorithm: 'ed25519' });
      await site.publish(await site.recordOf(domain, 's1'));
      await site.keyIs(domain, 's1', 'active');
      await keys['rotation-start']({ domain, to: ['s2'] });
      await keys['rotation-freeze']({ domain });
      await keys['key-revoke']({ domain, selector: 's1', force: true });
      await site.heard();
    },
    outside: publish,
  }),
  'signing.selectors leaves the active key out': unsigned('chosen', {
    before: ({ activeKey }) => activeKey('chosen.test', 's1'),
    outside: (site) => [[/name s1, which is active, in signing\.selectors/, edit(site, '[s9]', '[s9, s1]')]],
  }),
  'a wrong secret for updates of the zone': unsigned('tsig', {
    before: created('tsig'),
    outside: (site) => [[/BADSIG/, edit(site, site.parts.wrongSecret, site.parts.zones.secret)]],
  }),
  'a name server that permits no update': unsigned('denied', {
    before: created('denied'),
    outside: (site) => [[/REFUSED/, edit(site, '"transfer-1"', '"sealpost"')]],
  }),
};

/** The next hop does not do what it should for this recipient, until somebody sees to it. */
const answer =
  (local: string, said: string) =>
  ({ parts }: AdviceSite): undefined => {
    parts.answers.set(local, said);
  };
const mended =
  (local: string, words: RegExp) =>
  ({ parts }: AdviceSite): Outside[] => [[words, async () => parts.answers.delete(local)]];

/** What was deferred is held, and would leave now. */
const held = (local: string) => async (site: AdviceSite, id: string) => {
  await site.becomes(id, 'deferred-by-host');
  await site.router['message-hold']({ queueId: id }, { node: 'edge-1' });
  site.parts.answers.delete(local);
};
const LATER = '451 4.2.0 later';

const suspended = (about: 'domain' | 'sender' | 'destination', name: string) => (site: AdviceSite) =>
  site.router['directive-set']({ kind: 'suspend', about, name, forMs: 3_600_000, by: 'root' }, { node: 'edge-1' });
const deadHop = ({ parts }: AdviceSite): string => `smtp://127.0.0.1:${parts.ports.dead}`;

export const DELIVERY: Record<string, State> = {
  'held by an operator': {
    ...{ to: 'held@good.test', cause: 'held-by-operator' },
    ...{ before: answer('held', LATER), after: held('held') },
  },
  'held by an operator, as queue show says it': {
    ...{ to: 'shown@good.test', cause: 'held-by-operator', ask: (id) => ['queue', 'show', id] },
    ...{ before: answer('shown', LATER), after: held('shown') },
  },
  'held by a rule': { to: 'one@court.test', cause: 'held-by-rule' },
  'held by a rule, as doctor says it': {
    ...{ to: 'two@court.test', cause: 'held-by-rule', ask: () => ['doctor'], about: /rule court/ },
  },
  'a dead letter': {
    ...{ from: '', to: 'dead@good.test', cause: 'dead-letter', before: answer('dead', '550 5.1.1 no such user') },
    outside: mended('dead', /put right what the reply says/),
  },
  'copies that an archive refused, as doctor says it': {
    ...{ to: 'kept@journaled.test', arrives: 'archive@vault.test', cause: 'held-for-archive' },
    ...{ ask: () => ['doctor'], about: /rule legal/, before: answer('archive', '550 5.7.1 no') },
    outside: mended('archive', /see that the archive takes them/),
  },
  'its domain is suspended': {
    ...{ to: 'a@moving.test', cause: 'suspended', before: suspended('domain', 'moving.test') },
  },
  'its sender is suspended, as doctor says it': {
    ...{ from: 'paused@far.test', to: 'paused@good.test', cause: 'suspended', ask: () => ['doctor'] },
    ...{ before: suspended('sender', 'paused@far.test'), about: /paused@far\.test/ },
  },
  'its next hop is suspended, as status says it': {
    ...{ to: 'a@hop.test', cause: 'suspended', ask: () => ['status'], about: /destination/ },
    before: (site) => suspended('destination', site.parts.hop)(site),
  },
  'rerouted to a host that is dead': {
    ...{ to: 'rerouted@good.test', cause: 'unreachable', before: answer('rerouted', LATER) },
    after: async (site, id) => {
      await site.becomes(id, 'deferred-by-host');
      site.parts.answers.delete('rerouted');
      const change = { operation: 'reroute', via: deadHop(site), by: 'root', dryRun: false } as const;
      await site.router['queue-change']({ ...change, filter: { ids: [id] } }, { node: 'edge-1' });
    },
  },
  'redirected to a host that is dead': {
    ...{ to: 'a@redirected.test', cause: 'unreachable' },
    before: (site) => {
      const redirect = { kind: 'redirect', about: 'domain', name: 'redirected.test', by: 'root' } as const;
      return site.router['directive-set']({ ...redirect, forMs: 3_600_000, via: deadHop(site) }, { node: 'edge-1' });
    },
  },
  'a limit of its destination': {
    ...{ to: 'second@limit.test', cause: 'rate-limit' },
    before: async (site) => {
      await site.send('a@far.test', 'first@limit.test');
      await site.becomesTaken('first@limit.test');
    },
    outside: (site) => [
      [
        /raise the limit in rates\.destinations/,
        edit(site, 'limit.test, messages: 1/h', 'limit.test, messages: 1000/s'),
      ],
    ],
  },
  'a host that refuses connections': {
    ...{ to: 'a@down.test', cause: 'unreachable' },
    outside: (site) => [[/see that 127\.0\.0\.1\S* runs/, () => site.startSink(site.parts.ports.down)]],
  },
  'a host that breaks off': {
    ...{ to: 'closed@good.test', cause: 'connection-lost', before: answer('closed', 'close') },
    outside: mended('closed', /see in the log of 127\.0\.0\.1\S* why it ended the session/),
  },
  'a host that says 4xx': {
    ...{ to: 'grey@good.test', cause: 'deferred-by-host', before: answer('grey', '451 4.7.1 Greylisted') },
    outside: mended('grey', /see that 127\.0\.0\.1\S* takes it/),
  },
  'a host without the TLS of its route': {
    ...{ to: 'a@tls.test', cause: 'tls-missing' },
    outside: (site) => [[/change tls or ca of the route/, edit(site, ', tls: required }', ' }')]],
  },
  'a certificate of an authority that nobody knows': {
    ...{ to: 'a@cert.test', cause: 'tls-missing' },
    outside: (site) => [
      [/change tls or ca of the route/, edit(site, 'tls: verified }', 'tls: verified, ca: ./ca.pem }')],
    ],
  },
  'a wrong password of its route': {
    ...{ to: 'a@login.test', cause: 'login-failed' },
    outside: (site) => [[/correct user and password/, edit(site, 'password: wrong', 'password: right')]],
  },
  'a host of its route that has no address': {
    ...{ to: 'a@nohost.test', cause: 'no-address' },
    outside: (site) => [[/correct the host in routes/, edit(site, '//nohost.far.test', '//127.0.0.1')]],
  },
  'a limit of its sender': {
    ...{ from: 'a@often.test', to: 'often@example.com', client: '127.0.0.2', cause: 'refused-for-now' },
    before: (site) => site.say('a@often.test', 'first@example.com', { localAddress: '127.0.0.2' }),
    outside: (site) => [
      [/raise the limit in rates/, edit(site, 'often.test, messages: 1/h', 'often.test, messages: 1000/s')],
    ],
  },
  'a greylist': {
    ...{ from: 'a@unknown.test', to: 'unknown@example.com', client: '127.0.0.3', cause: 'refused-for-now' },
  },
};

/** They concern the one secondary, name server, signer, credential-store and second node: one after the other. */
export const ALONE: Record<string, State> = {
  'a secondary that lags behind': unsigned('lag', {
    before: async (site) => {
      await site.parts.zones.lag(1);
      await created('lag')(site);
      await site.keyIs('lag.test', 's1', 'published');
    },
    outside: ({ parts: { zones } }) => [
      [new RegExp(`see that ${zones.servers[1]} transfers the zone from its primary`), () => zones.catchUp(1)],
    ],
  }),
  'a secondary that is down': unsigned('away', {
    before: async (site) => {
      await site.parts.zones.stop(1);
      await created('away')(site);
      await site.keyIs('away.test', 's1', 'published');
    },
    outside: ({ parts: { zones } }) => [[new RegExp(`${zones.servers[1]} cannot be asked`), () => zones.restart(1)]],
  }),
  'no signer': unsigned('silent', {
    cause: 'signer-silent',
    before: async (site) => {
      await site.activeKey('silent.test', 's1');
      await site.stopServices(site.parts.one, 'signer');
    },
  }),
  'a signer that has no keys yet, and no credential-store': unsigned('store', {
    before: async (site) => {
      await site.activeKey('store.test', 's1');
      for (const service of ['credential-store', 'signer']) await site.stopServices(site.parts.one, service);
      await site.parts.one.start('signer');
    },
  }),
  'name servers that are silent': {
    ...{ to: 'a@names.test', cause: 'dns-failing' },
    before: ({ parts }) => parts.names.pause(),
    outside: ({ parts }) => [
      [/see that the name servers of dns\.servers answer edge-1/, async () => parts.names.resume()],
    ],
  },
  'a mail filter that is away': {
    ...{ from: 'a@filtered.test', to: 'filtered@example.com', onTwo: true, client: '127.0.0.2' },
    ...{ cause: 'refused-for-now', about: /mail filter/ },
    before: (site) => site.stopFilter(),
    outside: (site) => [[/see that it runs/, () => site.startFilter()]],
  },
  'a node that is down, and its mail with it': {
    ...{ to: 'lost@good.test', onTwo: true, cause: 'unknown', before: answer('lost', LATER) },
    after: async (site) => {
      await site.becomesRefused('lost');
      site.parts.answers.delete('lost');
      await site.stopServices(site.parts.two, 'listener', 'policy', 'router');
    },
    outside: (site) => [[/start edge-2/, () => site.parts.two.start('listener', 'policy', 'router')]],
  },
};
