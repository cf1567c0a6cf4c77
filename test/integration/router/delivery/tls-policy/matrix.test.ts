import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import type { QueueEntry } from '#shared/mail/queue-entry.ts';
import type { LedgerRow } from '#shared/mail/tls-ledger.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';
import { FADING, type MatrixSite, startMatrixSite, submit } from './matrix-site.ts';

/**
 * What is wanted of destinations of every kind, by whom, what is reached, and what becomes of the mail: through the listener of
 * a real node, read from its ledger of TLS (matrix-site.ts has the destinations).
 *
 * A row: domain → `wanted by` · `reached`, with the version where it is not TLS 1.3, and the peer · what becomes of it. A
 * domain that is one word is in n.test.
 */

// Below 1024, a port is root's.
const options = process.getuid?.() === 0 ? needs('named', 'unbound') : { skip: 'needs ports 25 and 443' };

const OPEN = 'opportunistic default';
const ROWS: [domain: string, wanted: string, reached: string, fate: string, why?: RegExp][] = [
  // Nobody asks for anything.
  ['to-plain', OPEN, 'clear plain', 'delivered', /does not offer STARTTLS/],
  ['to-stripped', OPEN, 'clear stripped', 'delivered', /does not offer STARTTLS/],
  ['to-known', OPEN, 'verified known', 'delivered'],
  ['to-chained', OPEN, 'verified chained', 'delivered'],
  ['to-wildcard', OPEN, 'verified wildcard', 'delivered'],
  ['to-tls12', OPEN, 'verified TLSv1.2 tls12', 'delivered'],
  ['to-tls13', OPEN, 'verified tls13', 'delivered'],
  ['to-self', OPEN, 'encrypted self', 'delivered'],
  ['to-expired', OPEN, 'encrypted expired', 'delivered'],
  ['to-early', OPEN, 'encrypted early', 'delivered'],
  ['to-misnamed', OPEN, 'encrypted misnamed', 'delivered'],
  ['to-stranger', OPEN, 'encrypted stranger', 'delivered'],
  ['to-nochain', OPEN, 'encrypted nochain', 'delivered'],
  ['to-weak', OPEN, 'encrypted weak', 'delivered'],
  ['to-tls10', OPEN, 'verified TLSv1 tls10', 'delivered'],
  ['to-tls11', OPEN, 'verified TLSv1.1 tls11', 'delivered'],
  ['to-picky', OPEN, 'verified TLSv1.2 picky', 'delivered'],
  ['to-injected', OPEN, 'verified injected', 'delivered'],
  ['to-reset', OPEN, 'clear reset', 'delivered', /handshake/],
  ['to-rubbish', OPEN, 'clear rubbish', 'delivered', /handshake/],
  ['to-silent', OPEN, 'clear silent', 'delivered', /timed out/],
  ['to-refuse454', OPEN, 'clear refuse454', 'delivered', /answered STARTTLS: 454/],
  ['to-refuse554', OPEN, 'clear refuse554', 'delivered', /answered STARTTLS: 554/],
  ['to-closes', OPEN, 'clear closes', 'delivered', /closed the connection/],
  ['to-late454', OPEN, 'clear late454', 'delivered', /given up after the handshake/],
  ['to-lateclose', OPEN, 'clear lateclose', 'delivered', /given up after the handshake/],
  ['to-busy', '', 'busy', 'deferred 421 4.3.2'],
  ['to-dead', '', 'dead', 'deferred 451 4.4.1'],
  ['dead-known', OPEN, 'verified known', 'delivered'],
  ['dead-plain', OPEN, 'clear plain', 'delivered'],
  ['plain-known', OPEN, 'clear plain', 'delivered'],
  ['rubbish-known', OPEN, 'verified known', 'delivered'],
  ['rubbish-plain', OPEN, 'clear plain', 'delivered'],
  // The route asks.
  ['must-plain', 'required route', 'clear plain', 'deferred 454 4.7.4', /does not offer STARTTLS/],
  ['must-self', 'required route', 'encrypted self', 'delivered'],
  ['must-rubbish', 'required route', 'clear rubbish', 'deferred 454 4.7.5', /handshake/],
  ['must-second', 'required route', 'verified known', 'delivered'],
  ['must-tls10', 'required route', 'clear tls10', 'deferred 454 4.7.5', /handshake/],
  ['must-picky', 'required route', 'verified TLSv1.2 picky', 'delivered'],
  ['sure-known', 'verified route', 'verified known', 'delivered'],
  ['sure-self', 'verified route', 'clear self', 'deferred 454 4.7.5', /is self-signed/],
  ['sure-expired', 'verified route', 'clear expired', 'deferred 454 4.7.5', /has expired/],
  ['sure-misnamed', 'verified route', 'clear misnamed', 'deferred 454 4.7.5', /is not for misnamed\.n\.test/],
  ['sure-nochain', 'verified route', 'clear nochain', 'deferred 454 4.7.5', /without its chain/],
  ['sure-plain', 'verified route', 'clear plain', 'deferred 454 4.7.4', /does not offer STARTTLS/],
  ['sure-second', 'verified route', 'verified known', 'delivered'],
  ['never-known', 'off route', 'clear known', 'delivered'],
  // DANE asks.
  ['to-known.d.test', 'verified dane', 'verified known', 'delivered'],
  ['to-self.d.test', 'verified dane', 'verified self', 'delivered'],
  ['to-expired.d.test', 'verified dane', 'verified expired', 'delivered'],
  ['misnamed-ta.d.test', 'verified dane', 'verified ta', 'delivered'],
  ['to-ta.d.test', 'verified dane', 'clear ta', 'deferred 454 4.7.5', /is not for ta\.d\.test/],
  ['to-wrong.d.test', 'verified dane', 'clear wrong', 'deferred 454 4.7.5', /none of its TLSA records/],
  ['to-plain.d.test', 'verified dane', 'clear plain', 'deferred 454 4.7.4', /does not offer STARTTLS/],
  ['to-rubbish.d.test', 'verified dane', 'clear rubbish', 'deferred 454 4.7.5', /handshake/],
  ['to-bogus.d.test', 'required dane', 'clear bogus', 'deferred 451 4.4.3', /SERVFAIL/],
  ['to-unusable.d.test', 'required dane', 'encrypted unusable', 'delivered'],
  ['to-unusable-plain.d.test', 'required dane', 'clear unusable-plain', 'deferred 454 4.7.4', /STARTTLS/],
  ['to-excepted.d.test', OPEN, 'encrypted excepted', 'delivered'],
  ['to-without.d.test', OPEN, 'encrypted without', 'delivered'],
  ['to-alias.d.test', 'verified dane', 'verified alias', 'delivered'],
  ['to-rollover.d.test', 'verified dane', 'verified rolled', 'delivered'],
  ['to-child.d.test', OPEN, 'encrypted host.child', 'delivered'],
  ['second.d.test', 'verified dane', 'verified known', 'delivered'],
  ['bogus-second.d.test', 'verified dane', 'verified known', 'delivered'],
  ['dead-second.d.test', 'verified dane', 'verified known', 'delivered'],
  ['to-dead.d.test', '', 'dead', 'deferred 451 4.4.1'],
  // MTA-STS asks.
  ['sts-good', 'verified mta-sts', 'verified known', 'delivered'],
  ['sts-wild', 'verified mta-sts', 'verified wildcard', 'delivered'],
  ['sts-picky', 'verified mta-sts', 'verified TLSv1.2 picky', 'delivered'],
  ['sts-second', 'verified mta-sts', 'verified known', 'delivered'],
  ['sts-dead', 'verified mta-sts', 'verified known', 'delivered'],
  ['sts-self', 'verified mta-sts', 'clear self', 'deferred 454 4.7.5', /is self-signed/],
  ['sts-expired', 'verified mta-sts', 'clear expired', 'deferred 454 4.7.5', /has expired/],
  ['sts-misnamed', 'verified mta-sts', 'clear misnamed', 'deferred 454 4.7.5', /is not for misnamed\.n\.test/],
  ['sts-plain', 'verified mta-sts', 'clear plain', 'deferred 454 4.7.4', /does not offer STARTTLS/],
  ['sts-rubbish', 'verified mta-sts', 'clear rubbish', 'deferred 454 4.7.5', /handshake/],
  ['sts-other', 'verified mta-sts', 'clear known', 'deferred 454 4.7.5', /does not name known\.n\.test/],
  ['try-self', OPEN, 'encrypted self', 'delivered'],
  ['try-plain', OPEN, 'clear plain', 'delivered'],
  ['try-other', OPEN, 'verified known', 'delivered'],
  ['sts-none', OPEN, 'encrypted self', 'delivered'],
  ['sts-missing', OPEN, 'encrypted self', 'delivered'],
  ['sts-redirect', OPEN, 'encrypted self', 'delivered'],
];

const ANYTHING = /(?:)/;
const fullName = (domain: string): string => (domain.includes('.') ? domain : `${domain}.n.test`);

/** A row of the ledger (none where no host could be connected to), and the reply that the mail waits with. */
type Shown = { domain: string; row?: LedgerRow | undefined; waits?: { host: string; reply: string } | undefined };
const found = new Map<string, Shown>();
let site: MatrixSite;

before(async () => {
  if (options.skip !== false) return;
  site = await startMatrixSite();
  for (const shown of await sendTo(ROWS.map(([domain]) => fullName(domain)))) found.set(shown.domain, shown);
});
after(() => site?.dispose());

/** Send a message to each domain; what ledger and queue say of them once all were tried. */
async function sendTo(domains: readonly string[]): Promise<Shown[]> {
  const ids = await submit(site, domains);
  return await waitFor(
    async () => {
      const { rows } = await ask('tls', 'ledger', '--direction', 'out');
      const { entries } = await ask('queue', 'list');
      const shown = [...ids].map(([domain, id]) => ({
        domain,
        row: rows.find(({ queueId }: LedgerRow) => queueId === id),
        waits: waitingOf(entries.find(({ queueId }: QueueEntry) => queueId === id)),
      }));
      return shown.every(({ row, waits }) => row !== undefined || waits !== undefined) ? shown : undefined;
    },
    { what: 'an attempt at each message', timeout: 120_000 },
  );
}

const ask = async (...command: string[]) =>
  JSON.parse(await site.node.sealpost(...command, '--limit', '1000', '--json'));

function waitingOf(entry: QueueEntry | undefined): Shown['waits'] {
  const status = entry?.recipients[0]?.status;
  if (status?.state !== 'deferred') return undefined;
  const { host = '', reply } = status.outcome;
  return { host, reply: `deferred ${reply.code} ${reply.enhanced}` };
}

const machine = (peer: string): string => peer.replace(/\.[nd]\.test\[.*/, '');

for (const [domain, wanted, reached, fate, why] of ROWS) {
  test(`${domain}: ${wanted || 'anything'}, ${reached}, ${fate}`, options, () => {
    const { row, waits } = found.get(fullName(domain)) ?? assert.fail('neither in the ledger nor in the queue');
    const version = row?.protocol === undefined || row.protocol === 'TLSv1.3' ? [] : [row.protocol];
    const peer = machine(row?.peer ?? waits?.host ?? '');
    const asked = row?.wanted === undefined ? '' : `${row.wanted} ${row.by}`;
    const got = row?.wanted === undefined ? peer : [row.reached, ...version, peer].join(' ');
    assert.deepEqual([asked, got, waits?.reply ?? row?.state], [wanted, reached, fate], JSON.stringify({ row, waits }));
    assert.match(row?.why ?? '', why ?? ANYTHING);
  });
}

test('a destination that loses its TLS is an alarm, and with tls-lost: wait its mail waits', options, async () => {
  const { node, sinks } = site;
  const send = async (): Promise<string> => {
    // A connection that is still open has TLS.
    await waitFor(() => sinks.get('fading')?.open === 0, { what: 'the connection to be closed' });
    const [{ row } = assert.fail()] = await sendTo(['to-fading.n.test']);
    return `${row?.wanted} ${row?.by}, ${row?.reached}, ${row?.state}`;
  };
  assert.equal(await send(), 'opportunistic default, verified, delivered');
  assert.equal(await send(), 'opportunistic memory, verified, delivered');
  FADING.offers = false;
  assert.equal(await send(), 'opportunistic memory, clear, delivered');
  const { findings } = JSON.parse(await node.report('doctor', '--json'));
  const alarm = findings.find(({ check }: { check: string }) => check === 'tls-lost');
  assert.deepEqual([alarm?.about, alarm?.severity], ['to-fading.n.test', 'warning']);
  const config = await readFile(node.configFile, 'utf8');
  await writeFile(node.configFile, config.replace('delivery:\n', 'delivery:\n  tls-lost: wait\n'));
  await node.programs.get('all')?.waitForOutput(/configuration reloaded|configuration changed/);
  assert.equal(await send(), 'required memory, clear, deferred');
  FADING.offers = true;
  // For about a second after a failure, mail waits without another look at the host.
  await waitFor(async () => (await send()) === 'required memory, verified, delivered', { what: 'mail to go again' });
});

test('nothing of a message went to a host that may not have it', options, () => {
  const refused = [
    'to-wrong.d.test',
    'must-plain.n.test',
    'sts-self.n.test',
    'sts-other.n.test',
    'sure-expired.n.test',
  ];
  for (const sink of site.sinks.values()) {
    const recipients = sink.sessions.flatMap((session) => session.lines.filter((line) => line.startsWith('RCPT')));
    assert.deepEqual(
      recipients.filter((line) => refused.some((domain) => line.includes(`@${domain}`))),
      [],
    );
  }
});
