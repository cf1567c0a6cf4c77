import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import type { Member } from '#cluster/members/member-contract.ts';
import type { Caller } from '#services/console/cli/context.ts';
import { CLUSTER_CHECKS, examineCluster } from '#services/console/reports/cluster/checks.ts';
import { type ClusterFacts, gatherCluster, type ProcessFacts } from '#services/console/reports/cluster/facts.ts';
import type { Finding } from '#services/console/reports/doctor/finding.ts';
import { SealpostError } from '#shared/errors.ts';
import { CERTIFICATE_CASES } from '#test/unit/console/reports/certificates/cases.ts';

/** What `sealpost cluster status` finds, and whom it asks. */

const MINUTE = 60_000;
const STARTED = Date.now() - 60 * MINUTE;

const member = (node: string, own: Partial<Member> = {}): Member => ({
  ...{ node, process: `P-${node}`, epoch: 1, state: 'up', services: ['router', 'signer'], version: '1.0.0' },
  ...{ contracts: { router: 1, signer: 1 }, started: STARTED, config: { domains: 'd1', keys: 'k1' } },
  ...{ heard: 0, clock: 0, stopped: false },
  ...own,
});

/** Processes that answer and see one another, but for what a test says; a silent one does neither. */
type Given = Partial<ProcessFacts> & { member: Member; silent?: true };
function facts(processes: Given[], own: Partial<ClusterFacts> = {}): ClusterFacts {
  const sees = processes.map((p) => p.member);
  const answering = { sees, roundTrip: 1, clock: 0, queue: { messages: 0 }, keys: { revision: 7 } };
  const all = processes.map(({ silent, ...given }) => (silent ? given : { ...answering, ...given }));
  return { node: 'edge-1', processes: all, ...own };
}
const [one, two, three] = ['edge-1', 'edge-2', 'edge-3'].map((node) => ({ member: member(node) })) as [
  { member: Member },
  { member: Member },
  { member: Member },
];
const lost = { heard: 2 * MINUTE, state: 'gone' } as const;

const DAMAGE = { at: 0, what: '000005.log has holes', lostBytes: 90, names: ['A'], more: 3, folder: '/q/lost' };

const DENIED: Member['denied'] = [
  { operation: 'subscription', subject: 'a.new', ago: 2 * MINUTE },
  ...[1, 2, 3, 4].map((n) => ({ operation: 'publish' as const, subject: `b.${n}`, ago: MINUTE })),
];
const NEK = {
  name: 'edge',
  fingerprint: 'f',
  since: 0,
  current: true,
  keys: 2,
  having: ['edge-1'],
  lacking: ['edge-2'],
};

/** What is there, the check that speaks, how severe, about what, and words of the text and of what to do. */
const CASES: [string, ClusterFacts, string, Finding['severity'], string, RegExp][] = [
  [
    'a node that is cut off',
    facts(
      [
        one,
        { member: member('edge-2', lost), silent: true },
        { member: member('edge-3', { stopped: true, ...lost }), silent: true },
      ],
      {
        away: MINUTE,
      },
    ),
    'bus-away',
    'error',
    'node edge-1',
    /not reached NATS for 1m: it last heard edge-2 2m ago; .*is unknown/,
  ],
  [
    'a process that died',
    facts([one, { member: member('edge-2', lost), trouble: 'nobody serves it', silent: true }]),
    'gone',
    'error',
    'node edge-2',
    /nothing was heard of its router and signer for 2m.*start it/,
  ],
  [
    'a router that was stopped',
    facts([one, { member: member('edge-2', { stopped: true, ...lost }), silent: true }]),
    'gone',
    'warning',
    'node edge-2',
    /was stopped 2m ago/,
  ],
  [
    'a process that hangs',
    facts([one, { ...two, silent: true, trouble: 'no answer came in time' }]),
    'unreachable',
    'error',
    'node edge-2',
    /does not answer: no answer came in time/,
  ],
  [
    'a node that one does not hear and another does',
    facts([{ ...one, sees: [one.member, member('edge-2', lost), three.member] }, two, three]),
    'unheard',
    'error',
    'node edge-1',
    /its router and signer does not hear edge-2, which this command reaches/,
  ],
  [
    'two nodes that do not know of a third',
    facts([{ ...one, sees: [one.member, two.member] }, two, three]),
    'unheard',
    'error',
    'node edge-1',
    /does not hear edge-3/,
  ],
  [
    'two machines of one name',
    facts([one, { member: member('edge-1', { process: 'other' }) }]),
    'same-name',
    'error',
    'node edge-1',
    /more than one router.*own node\.name/,
  ],
  [
    'a router with a full disk',
    facts([{ ...one, queue: { messages: 3, refusing: 'free space is low' } }, two]),
    'refusing',
    'warning',
    'node edge-1',
    /takes no mail: free space is low/,
  ],
  [
    'a queue whose lease ran out',
    facts([
      {
        ...one,
        queue: {
          messages: 9,
          copies: { elsewhere: 7, missing: 0, held: 0, lease: 'lost', renewed: Date.now() - 2 * MINUTE },
        },
      },
      two,
    ]),
    'lease',
    'error',
    'node edge-1',
    /renew its lease for 2m: 7 messages wait/,
  ],
  [
    'mail without a second copy',
    facts([one, { ...two, queue: { messages: 9, copies: { elsewhere: 7, missing: 2, held: 0, lease: 'held' } } }]),
    'copies',
    'warning',
    'node edge-2',
    /2 messages without a second copy/,
  ],
  [
    'a log that could not be written',
    facts([one, { member: member('edge-2', { logDropped: 12 }) }]),
    'log-dropped',
    'warning',
    'node edge-2',
    /lost 12 lines.*full or not read/,
  ],
  [
    'a store that was damaged',
    facts([one, { ...two, damage: [{ node: 'edge-2', store: 'queue', damage: DAMAGE }] }]),
    'store-damaged',
    'error',
    'node edge-2',
    /its queue was damaged: 1970-01-01T00:00:00.000Z, 000005\.log.*90 bytes lost, about A and 3 more\. .*move or delete \/q\/lost/,
  ],
  [
    'mail that is damaged, as far as it is known',
    facts([one, { ...two, damagedMail: [{ node: 'edge-2', mail: { queueId: 'Q1', to: [] } }] }]),
    'mail-damaged',
    'error',
    'node edge-2',
    /message Q1 .*from an unknown sender, to unknown recipients/i,
  ],
  [
    'void copies that nobody asks for',
    facts([
      one,
      {
        ...two,
        queue: {
          messages: 0,
          copies: { elsewhere: 0, missing: 0, held: 9, lease: 'held', void: [{ node: 'edge-3', copies: 4 }] },
        },
      },
    ]),
    'copies-void',
    'warning',
    'node edge-2',
    /holds 4 void copies of mail of node edge-3, .*cluster forget edge-3 --delete-copies/,
  ],
  [
    'a compromised key that is still in DNS, once however many nodes say so',
    facts([
      { ...one, exposed: ['s1 of example.com'] },
      { ...two, exposed: ['s1 of example.com'] },
    ]),
    'key-exposed',
    'error',
    's1 of example.com',
    /compromised and may still be in DNS/,
  ],
  [
    'a node without the newest keys, which says so',
    facts([one, { ...two, keys: { revision: 5, behind: 'it was away' } }]),
    'keys-behind',
    'warning',
    'node edge-2',
    /newest keys: it was away/,
  ],
  [
    '… which does not say so',
    facts([one, { ...two, keys: { revision: 5 } }]),
    'keys-differ',
    'warning',
    'the keys',
    /revision 7 on edge-1; revision 5 on edge-2/,
  ],
  [
    'an upgrade under way',
    facts([one, { member: member('edge-2', { version: '1.1.0', config: { domains: 'x', keys: 'y' } }) }, three]),
    'versions-differ',
    'warning',
    'Sealpost',
    /version 1\.0\.0 on edge-1 and edge-3; version 1\.1\.0 on edge-2/,
  ],
  [
    '… with a new contract',
    facts([one, { member: member('edge-2', { contracts: { router: 2, signer: 1, console: 1 } }) }]),
    'contracts-differ',
    'warning',
    'contract router',
    /version 1 on edge-1; version 2 on edge-2/,
  ],
  [
    'a configuration that was changed on one node alone',
    facts([one, { member: member('edge-2', { config: { domains: 'd2', keys: 'k1' } }) }, three]),
    'config-differs',
    'warning',
    '"domains" of the configuration',
    /: edge-1 and edge-3 on one side, edge-2 on another.*make "domains" the same/,
  ],
  [
    'a configuration that two processes of one node have in two forms',
    facts([
      one,
      { member: member('edge-1', { process: 'P2', services: ['listener'], config: { domains: 'd2', keys: 'k1' } }) },
    ]),
    'config-differs',
    'warning',
    '"domains" of the configuration',
    /edge-1 \(router and signer\) on one side, edge-1 \(listener\) on another/,
  ],
  [
    'a process that could not start',
    facts([
      one,
      ...['it had none', 'it lacks its NEK'].map((failed, n): Given => {
        const services = ['credential-store'];
        const own = { ...lost, stopped: true, services, failed, process: `P${n}`, started: STARTED + n };
        return { member: member('edge-2', own), silent: true };
      }),
    ]),
    'start-failed',
    'error',
    'node edge-2',
    /its credential-store could not start 2m ago: it lacks its NEK\. correct that/,
  ],
  [
    'a process that NATS does not permit what it needs',
    facts([one, { member: member('edge-2', { denied: DENIED }) }]),
    'bus-denied',
    'error',
    'node edge-2',
    /its router and signer to hear a\.new and to publish on b\.1, b\.2, b\.3 and 1 more, last 1m ago.*nats-config/,
  ],
  [
    'a NEK that a node lacks',
    facts([one, two], { neks: [NEK, { ...NEK, name: 'unused', current: false, keys: 0 }] }),
    'nek-missing',
    'error',
    'NEK edge',
    /missing in credentials\.nek of edge-2: 2 keys cannot be used there/,
  ],
  [
    'a change of the configuration that a process refused',
    facts([
      one,
      { ...two, member: member('edge-2', { refused: 'sealpost.yaml:3: limits.sessions: expected a number' }) },
    ]),
    'config-refused',
    'error',
    'node edge-2',
    /goes on with the one before: sealpost\.yaml:3: limits.*config check/,
  ],
  [
    'clocks apart',
    facts([one, { ...two, clock: -5000 }]),
    'clocks-differ',
    'warning',
    'nodes edge-2 and edge-1',
    /5s apart; edge-1 is ahead/,
  ],
  ...CERTIFICATE_CASES.map(
    ([what, certificates, ...expected]) =>
      [what, facts([one], { certificates }), ...expected] satisfies [string, ClusterFacts, ...typeof expected],
  ),
];

for (const [what, given, check, severity, about, words] of CASES) {
  test(`${what}: ${severity} ${check}`, () => {
    const findings = examineCluster(given);
    assert.deepEqual(
      findings.map((f) => [f.check, f.severity, f.about]),
      [[check, severity, about]],
    );
    const text = `${findings[0]?.text}. ${findings[0]?.help}`;
    assert.match(text, words);
    assert.doesNotMatch(text, /undefined|\.$/);
  });
}
after(() => assert.deepEqual([...new Set(CASES.map((c) => c[2]))].sort(), Object.keys(CLUSTER_CHECKS).sort()));

test('nothing is wrong with nodes that agree, drain, or come and go without anything of their own', () => {
  const passing = { services: ['listener', 'policy'] };
  const fresh = member('edge-4', { started: Date.now(), ...passing });
  const old = [one.member, member('edge-2', { state: 'draining' })];
  const given = facts([
    ...old.map((m) => ({ member: m, sees: old })),
    { member: member('edge-3', { stopped: true, ...lost, ...passing }), silent: true },
    { member: fresh, sees: [fresh] },
  ]);
  assert.deepEqual(examineCluster(given), []);
});

/** A caller whose answers come from a table: what each process says, by its id. */
function fakeCaller(says: Record<string, Record<string, unknown>>, first: unknown): Caller {
  const answer = (contract: string, operation: string, process?: string): unknown => {
    if (process === undefined) return first;
    const all = says[process];
    if (all === undefined) throw new SealpostError('unavailable', `${process} is not there`);
    return all[`${contract}.${operation}`];
  };
  const client = ({ name }: { name: string }) =>
    new Proxy(
      {},
      { get: (_, operation: string) => async (__: unknown, o: { node?: string }) => answer(name, operation, o.node) },
    );
  const close = async () => undefined;
  const clients = { client: client as never, meet: async () => [] };
  return { config: ConfigSchema.parse({}), ...clients, connected: true, [Symbol.asyncDispose]: close };
}

test('everybody is asked, also who is known to one alone, and who is cut off asks nobody but itself', async () => {
  const only = { services: ['router'] };
  const [a, b, c] = ['a', 'b', 'c'].map((name) => member(name, { process: name, ...only })) as [Member, Member, Member];
  const queue = { active: 1, deferred: 2, hold: 3 };
  const says = (...members: Member[]) => ({
    'member.member-ping': { time: Date.now() },
    'member.member-list': { members },
    'router.status-show': queue,
  });
  const heardOfC = member('c', { process: 'c', heard: 400, ...only });
  const table = { a: says(a, b), b: says(b, heardOfC), c: says(c) };
  const stopped = member('d', { process: 'd', stopped: true, ...lost });
  const all = await gatherCluster(fakeCaller(table, { node: 'a', process: 'a', members: [a, b, stopped] }));
  assert.deepEqual(
    all.processes.map((p) => [p.member.node, p.member.heard, p.queue?.messages, p.trouble]),
    [
      ['a', 0, 6, undefined],
      ['b', 0, 6, undefined],
      ['c', 0, 6, undefined],
      ['d', 2 * MINUTE, undefined, undefined],
    ],
  );
  const cut = await gatherCluster(fakeCaller({ a: says(a, b) }, { node: 'a', process: 'a', away: 9, members: [a, b] }));
  assert.deepEqual(
    cut.processes.map((p) => [p.member.node, p.sees !== undefined, p.trouble]),
    [
      ['a', true, undefined],
      ['b', false, undefined],
    ],
  );
  const dead = await gatherCluster(fakeCaller({ a: says(a, b) }, { node: 'a', process: 'a', members: [a, b] }));
  assert.equal(dead.processes[1]?.trouble, 'b is not there');
});
