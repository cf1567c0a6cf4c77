import type { Member } from '#cluster/members/member-contract.ts';
import { DOMAIN_CHECKS } from '#services/console/reports/doctor/checks-domains.ts';
import { NODE_CHECKS } from '#services/console/reports/doctor/checks-nodes.ts';
import { keyStatus } from '#test/kit/dkim/fake-credential-store.ts';
import { DAY, domains, enforce, holder, NOW, nek, SIGNERS, STORES, status, testChecks } from './doctor-facts.ts';

/** What `sealpost doctor` says of nodes, NEKs and the domains of the configuration. */

const FRONT = { address: '10.0.0.1', sessions: 50, names: 10, gateway: false };

const SENDER = { node: 'edge-1', process: 'p', service: 'router' } as const;
const HOOK = { name: 'ops', waiting: 3, sent: 0, dropped: 0, lastError: { at: NOW, text: 'it answers 500' } };
const CLAMD = { node: 'edge-1', name: 'virus', url: 'unix:/run/clamd', onTrouble: 'defer' } as const;

const DIRECTIVE = {
  ...{ about: 'domain' as const, name: 'd.test', by: 'root on edge-1' },
  ...{ at: NOW, until: NOW + DAY, keep: NOW + DAY },
};

const MEMBER: Member = {
  ...{ node: 'edge-1', process: 'P1', epoch: 1, state: 'up', services: ['policy', 'router'], version: '1.0.0' },
  ...{ contracts: {}, started: NOW - DAY, config: {}, heard: 100, clock: 0, stopped: false },
};

const held = (key: string, messages = 3) => ({
  waiting: { held: [{ key, messages, oldest: NOW - 2 * DAY }], copies: [] },
});

testChecks({ ...DOMAIN_CHECKS, ...NODE_CHECKS }, [
  [
    'copies that an archive refused',
    held('journal legal'),
    'copies-held',
    'error',
    'rule legal',
    /does not take the copies of 3 messages, the oldest of 2d ago: they are held.*queue list --state hold" names each/,
  ],
  [
    'mail that a rule holds',
    held('rule court', 1),
    'mail-held',
    'note',
    'rule court',
    /holds a message of 2d ago.*queue list --state hold" names each/,
  ],
  [
    'copies that an archive has not taken for a day',
    { waiting: { held: [], copies: [{ key: 'a@vault.test', messages: 2, oldest: NOW - 2 * DAY }] } },
    'copies-waiting',
    'warning',
    'archive a@vault.test',
    /its copies of 2 messages.*--recipient a@vault\.test/,
  ],
  [
    'a change of the configuration that a process refused',
    { members: [{ ...MEMBER, refused: 'sealpost.yaml:3: limits.sessions: expected a number' }, MEMBER] },
    'config-refused',
    'error',
    'node edge-1',
    /its policy and router refused a change.*limits\.sessions.*config check/,
  ],
  [
    'a process that could not start',
    { members: [MEMBER, { ...MEMBER, state: 'gone', stopped: true, failed: 'it lacks its NEK' }] },
    'start-failed',
    'error',
    'node edge-1',
    /its policy and router could not start .* ago: it lacks its NEK/,
  ],
  [
    'a process that NATS does not permit what it needs',
    { members: [{ ...MEMBER, denied: [{ operation: 'publish', subject: 'a.new', ago: 0 }] }] },
    'bus-denied',
    'error',
    'node edge-1',
    /NATS does not permit its policy and router to publish on a\.new/,
  ],
  [
    'a configuration that was changed on one node alone',
    { members: [MEMBER, { ...MEMBER, node: 'edge-2', config: { domains: 'd2' } }] },
    'config-differs',
    'warning',
    '"domains" of the configuration',
    /edge-1 on one side, edge-2 on another/,
  ],
  [
    'a network that may relay and holds the gateway of a container network',
    { exposures: [{ node: 'edge-1', gateways: [{ address: '172.18.0.1', entry: '172.16.0.0/12', named: false }] }] },
    'container-gateway',
    'warning',
    'node edge-1',
    /172\.16\.0\.0\/12, which holds 172\.18\.0\.1.*not trusted/,
  ],
  [
    'a gateway of a container network that may relay',
    { exposures: [{ node: 'edge-1', gateways: [{ address: '172.18.0.1', entry: '172.18.0.1', named: true }] }] },
    'container-gateway',
    'warning',
    'node edge-1',
    /trusts 172\.18\.0\.1.*everybody.*take 172\.18\.0\.1 out/,
  ],
  [
    'a console whose certificate ends soon',
    { consoles: [{ node: 'edge-1', origin: 'https://console.test', until: Date.now() + 3 * 86_400_000 }] },
    'console',
    'warning',
    'node edge-1',
    /certificate of the console at https:\/\/console\.test expires in .*put a new one/,
  ],
  [
    'a console whose certificate has ended',
    { consoles: [{ node: 'edge-1', origin: 'https://console.test', until: 1 }] },
    'console',
    'error',
    'node edge-1',
    /has expired/,
  ],
  [
    'a console that does not answer',
    { consoles: [{ node: 'edge-1', error: 'no section console' }] },
    'console',
    'warning',
    'node edge-1',
    /closed or does not answer: no section console/,
  ],
  [
    'a node that reaches one LDAP server of two',
    {
      ldap: [
        { node: 'edge-1', url: 'ldap://a', error: 'connect ECONNREFUSED' },
        { node: 'edge-1', url: 'ldap://b' },
      ],
    },
    'ldap-away',
    'warning',
    'node edge-1',
    /cannot ask LDAP server ldap:\/\/a \(connect ECONNREFUSED\).*others/,
  ],
  [
    'a node that reaches no LDAP server',
    {
      ldap: [
        { node: 'edge-1', url: 'ldap://a', error: 'connect ECONNREFUSED' },
        { node: 'edge-2', url: 'ldap://a' },
      ],
    },
    'ldap-away',
    'error',
    'node edge-1',
    /can ask no LDAP server.*ldap:\/\/a: connect ECONNREFUSED.*deferred/,
  ],
  [
    'a mail filter that a listener cannot ask',
    { filters: [{ ...CLAMD, error: 'connect ENOENT /run/clamd' }, CLAMD, { ...CLAMD, node: 'edge-2' }] },
    'filter-away',
    'error',
    'node edge-1',
    /cannot ask mail filter virus at unix:\/run\/clamd \(connect ENOENT \/run\/clamd\): .*deferred.*see that it runs/,
  ],
  [
    'a mail filter that two listeners of a node cannot ask, and that mail passes without',
    {
      filters: [
        { ...CLAMD, onTrouble: 'accept', error: 'it does not answer within 2s' },
        { ...CLAMD, onTrouble: 'accept', error: 'it does not answer within 2s' },
      ],
    },
    'filter-away',
    'warning',
    'node edge-1',
    /virus.*does not answer within 2s.*passes, with a mark/,
  ],
  [
    'a webhook that is paused',
    { webhooks: [{ ...SENDER, webhooks: [{ ...HOOK, paused: { at: NOW } }] }] },
    'webhook-failing',
    'error',
    'webhook ops',
    /410 Gone.*router of node edge-1 sends nothing: 3 events wait.*webhooks retry ops/,
  ],
  [
    'a webhook that has taken nothing for long, and one that has only just begun to fail',
    {
      webhooks: [
        { ...SENDER, webhooks: [{ ...HOOK, failing: { since: NOW - 7_300_000, tries: 9, next: NOW } }] },
        {
          ...SENDER,
          node: 'edge-2',
          webhooks: [{ ...HOOK, failing: { since: NOW - 3_000_000, tries: 1, next: NOW } }],
        },
      ],
    },
    'webhook-failing',
    'warning',
    'webhook ops',
    /taken nothing from the router of node edge-1 for 2h 1m \(it answers 500\): 3 events wait.*webhooks test ops/,
  ],
  [
    'a webhook that was not told of events, and one of which that is long ago',
    {
      webhooks: [
        { ...SENDER, webhooks: [{ ...HOOK, dropped: 7, lastDropped: NOW - 3_600_000 }] },
        { ...SENDER, node: 'edge-2', webhooks: [{ ...HOOK, dropped: 2, lastDropped: NOW - 90_000_000 }] },
      ],
    },
    'webhook-dropped',
    'error',
    'webhook ops',
    /7 events of the router of node edge-1 .*given up, the last at /,
  ],
  [
    'a route that sends from an address of another machine',
    { missingSources: [{ path: 'routes[1].source', address: '192.0.2.77' }] },
    'source-missing',
    'error',
    'routes[1].source',
    /does not have the address 192\.0\.2\.77.*waits/,
  ],
  [
    'a domain that an operator has suspended',
    { directives: [{ ...DIRECTIVE, kind: 'suspend', reason: 'its disk is full' }] },
    'suspended',
    'warning',
    'domain d.test',
    /is suspended on all nodes, by root on edge-1 until .*: its disk is full.*queue resume --domain d\.test/,
  ],
  [
    'a domain that an operator has redirected',
    { directives: [{ ...DIRECTIVE, kind: 'redirect', via: 'smtp://b' }] },
    'redirected',
    'warning',
    'domain d.test',
    /goes to smtp:\/\/b on all nodes, by root.*queue redirect d\.test --end/,
  ],
  [
    'an open relay',
    { exposures: [{ node: 'edge-1', openRelay: 'relay.scope is none' }] },
    'open-relay',
    'error',
    'node edge-1',
    /relay\.scope is none.*anybody.*relay\.allow\.hosts/,
  ],
  [
    'an address that all clients come from',
    {
      exposures: [
        {
          node: 'edge-1',
          front: {
            ...FRONT,
            entries: [{ address: '10.0.0.1', list: 'relay.exclude', entry: '10.0.0.0/8', named: false }],
          },
        },
      ],
    },
    'hidden-clients',
    'warning',
    'node edge-1',
    /all clients, in 50 sessions, came from 10\.0\.0\.1.*relay\.exclude \(10\.0\.0\.0\/8\) does not mean it.*PROXY protocol/,
  ],
  [
    'an address that all clients come from, and that may relay',
    {
      exposures: [
        {
          node: 'edge-1',
          front: {
            ...FRONT,
            entries: [{ address: '10.0.0.1', list: 'relay.allow.hosts', entry: '10.0.0.1', named: true }],
          },
        },
      ],
    },
    'hidden-clients',
    'error',
    'node edge-1',
    /came from 10\.0\.0\.1.*relay\.allow\.hosts names it, so everybody may relay.*take it out/,
  ],
  [
    'enforced without a key',
    { ...domains({ name: 'a.example', ...enforce }) },
    'enforce-without-key',
    'error',
    'a.example',
    /its mail waits.*"sealpost keys create a\.example s\d{8}" makes a key/,
  ],
  [
    '… because the selectors forbid it',
    {
      ...domains({ name: 'example.com', signing: { mode: 'enforce', selectors: ['s1'] } }),
      keys: [],
      stored: [keyStatus({ selector: 's2' }), keyStatus({ state: 'retired' })],
    },
    'enforce-without-key',
    'error',
    'example.com',
    /no active key that may sign.*name s2, which is active, in signing\.selectors of example\.com/,
  ],
  [
    '… as another domain',
    { ...domains({ name: 'example.com', 'sign-as': 'b.example', ...enforce }), stored: [] },
    'enforce-without-key',
    'error',
    'example.com',
    /b\.example has no active key/,
  ],
  [
    'a domain without a key',
    { ...domains({ name: 'a.example' }) },
    'unsigned-domain',
    'note',
    'a.example',
    /sent without a signature.*mode: off/,
  ],
  [
    'mail that left without a signature',
    { unsigned: [{ domain: 'example.com', reason: 'the message has no From field', count: 3 }] },
    'mail-unsigned',
    'warning',
    'example.com',
    /3 messages have left without a signature.*no From field.*log of the signer/,
  ],
  [
    'a destination that has lost its TLS',
    { lostTls: [{ domain: 'd.example', host: 'mx.d.example', since: 0, mail: 'waits' }] },
    'tls-lost',
    'warning',
    'd.example',
    /had TLS before, and mx\.d\.example has offered none since 1970-01-01.*its mail waits.*delivery\.tls-lost/,
  ],
  [
    'a store that was damaged',
    {
      damage: [
        {
          ...{ node: 'edge-2', store: 'credentials' },
          damage: { at: 0, what: 'a table is gone', lostBytes: 0, names: [], more: 0, folder: '/c/lost' },
        },
      ],
    },
    'store-damaged',
    'error',
    'node edge-2',
    /its credentials was damaged: .*a table is gone\. .*\/c\/lost/,
  ],
  [
    'mail that is damaged, with whom to tell',
    { damagedMail: [{ node: 'edge-2', mail: { queueId: 'Q1', from: 'ann@one.example', to: ['bob@two.example'] } }] },
    'mail-damaged',
    'error',
    'node edge-2',
    /message Q1 .*from ann@one\.example, to bob@two\.example\. .*queue remove Q1 --node edge-2/i,
  ],
  [
    'void copies that nobody asks for',
    { voidCopies: [{ node: 'edge-2', owner: 'edge-3', copies: 4 }] },
    'copies-void',
    'warning',
    'node edge-2',
    /4 void copies of mail of node edge-3, .*cluster forget edge-3 --delete-copies/,
  ],
  [
    'a record of a newer program',
    status({ unreadable: ['example.com'] }),
    'record-unreadable',
    'error',
    'example.com',
    /changed by a newer Sealpost.*edge-1.*update Sealpost/,
  ],
  [
    'a changed certificate of a newer program',
    status({ unreadable: ['certificate!mx'] }),
    'record-unreadable',
    'error',
    'certificate!mx',
    /changed by a newer Sealpost.*edge-1.*update Sealpost/,
  ],
  [
    'a record of a kind that only a newer program knows',
    status({ unreadable: ['passkey!mx'] }),
    'record-unreadable',
    'warning',
    'passkey!mx',
    /of a kind that node edge-1 does not know: it keeps it for the others.*update Sealpost/,
  ],
  [
    'keys of a domain that never signs',
    { ...domains({ name: 'example.com', signing: { mode: 'off' } }), stored: [keyStatus()] },
    'signing-off',
    'warning',
    'example.com',
    /\(s1\), and signing\.mode is off/,
  ],
  [
    'selectors that are not there',
    { ...domains({ name: 'example.com', signing: { selectors: ['S1', 'old'] } }) },
    'selectors-missing',
    'warning',
    'example.com',
    /names old, and no such key exists/,
  ],
  [
    'keys that another domain’s stand in for',
    {
      ...domains({ name: 'example.com', 'sign-as': 'b.example' }),
      keys: [],
      stored: [keyStatus(), keyStatus({ domain: 'b.example' })],
    },
    'signed-as-another',
    'note',
    'example.com',
    /signed with those of b\.example/,
  ],
  [
    'NATS is away',
    status({ state: 'away', problem: 'no server answers' }),
    'bus-away',
    'error',
    'node edge-1',
    /\(no server answers\): keys cannot be changed; signing goes on/,
  ],
  [
    'the stream of the directory is missing',
    status({ directory: { state: 'away', problem: 'no stream', revision: 0, entries: 0 } }),
    'directory-away',
    'error',
    'node edge-1',
    /directory of the others \(no stream\).*cluster streams/,
  ],
  [
    'policy of another one is behind',
    status({ policies: [{ node: 'edge-2', instance: 'p', revision: 1, neks: [], behind: 'no NEK' }] }),
    'node-behind',
    'warning',
    'node edge-2',
    /its policy does not follow the directory: no NEK/,
  ],
  ['the node is behind', status({ state: 'behind' }), 'node-behind', 'warning', 'node edge-1', /has yet to catch up/],
  [
    'another one is behind',
    status({
      holders: [
        ...SIGNERS,
        ...STORES.slice(0, 1),
        holder('edge-2', 'credential-store', { behind: 'cut off', revision: 5 }),
      ],
    }),
    'node-behind',
    'warning',
    'node edge-2',
    /its credential-store does not follow the others: cut off/,
  ],
  [
    'a signer has older keys',
    status({ holders: [...STORES, ...SIGNERS.slice(0, 1), holder('edge-2', 'signer', { revision: 6 })] }),
    'revisions-differ',
    'warning',
    'node edge-2',
    /its signer has revision 6 of the keys, and others have 7/,
  ],
  [
    'clocks differ by seconds',
    status({ holders: [...STORES, ...SIGNERS, holder('edge-3', 'signer', { clock: -5000 })] }),
    'clocks-differ',
    'warning',
    'nodes edge-3 and edge-2',
    /5s apart; edge-2 is ahead\..*NTP/,
  ],
  [
    'clocks differ by a minute',
    status({ holders: [...STORES, ...SIGNERS, holder('edge-3', 'signer', { clock: 60_000 })] }),
    'clocks-differ',
    'error',
    'nodes edge-1 and edge-3',
    /1m apart; edge-3 is ahead/,
  ],
  ['nobody signs', status({ holders: STORES }), 'no-signer', 'error', 'the cluster', /hears no signer/],
  [
    'a node lacks the NEK',
    { neks: [nek({ lacking: ['edge-2'] })] },
    'nek-missing',
    'error',
    'NEK edge',
    /of edge-2: 1 key cannot be used there/,
  ],
  [
    'an old NEK',
    { neks: [nek({ since: NOW - 400 * DAY })] },
    'nek-old',
    'warning',
    'NEK edge',
    /for 400d, longer than credentials\.nek-age \(365d\).*rotate nek <name>/,
  ],
  [
    'keys under an old NEK',
    { neks: [nek(), nek({ name: 'old', current: false, keys: 2 })] },
    'nek-not-current',
    'warning',
    'NEK old',
    /still wraps 2 keys.*rotate nek edge/,
  ],
  [
    'a NEK without keys',
    { neks: [nek(), nek({ name: 'old', current: false, keys: 0, lacking: ['edge-2'] })] },
    'nek-unused',
    'note',
    'NEK old',
    /delete nek old/,
  ],
]);
