import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { PolicyTotals } from '#services/console/reports/received/tls.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { waitFor } from '#test/kit/wait.ts';

/** TLS reports, from the port on which they arrive to the totals over all nodes. */

const DAY_MS = 86_400_000;
const CONFIG = `
relay: {}
domains: [{ name: example.com, local: true, keys: { proof: none } }]
delivery: { tls-reports: { receive: [tls@example.com] } }
routes: [{ to: "*", via: capture }]`;

type Sent = { organisation: string; id: string; days: number; domain: string; succeeded: number; expired: number };

/** As RFC 8460 §5.3 has it. */
function reportMail({ organisation, id, days, domain, succeeded, expired }: Sent): string {
  const end = Date.now() - days * DAY_MS;
  const json = JSON.stringify({
    ...{ 'organization-name': organisation, 'contact-info': 'tls@receiver.example', 'report-id': id },
    'date-range': {
      'start-datetime': new Date(end - DAY_MS).toISOString(),
      'end-datetime': new Date(end).toISOString(),
    },
    policies: [
      {
        policy: { 'policy-type': 'sts', 'policy-domain': domain },
        summary: { 'total-successful-session-count': succeeded, 'total-failure-session-count': expired },
        'failure-details': [
          {
            ...{ 'result-type': 'certificate-expired', 'receiving-mx-hostname': 'mx1.example.com' },
            'failed-session-count': expired,
          },
        ],
      },
    ],
  });
  return [
    ...['From: tls@receiver.example', 'MIME-Version: 1.0', 'Content-Type: application/tlsrpt+gzip'],
    ...['Content-Transfer-Encoding: base64', ''],
    ...(gzipSync(json)
      .toString('base64')
      .match(/.{1,76}/g) ?? []),
  ].join('\r\n');
}

async function send(port: number, report: Sent): Promise<void> {
  await using dialog = await Dialog.connect(port, { timeout: 20_000 });
  await dialog.expect(220);
  await dialog.say('EHLO receiver.example', 250);
  await dialog.say('MAIL FROM:<noreply@receiver.example>', 250);
  await dialog.say('RCPT TO:<tls@example.com>', 250);
  await dialog.say('DATA', 354);
  await dialog.say(`${reportMail(report)}\r\n.`, 250);
}

test('tls reports counts what came to all nodes, each report once', {
  ...needs('nats-server'),
  timeout: 120_000,
}, async () => {
  await using guarded = await startGuardedServer();
  await using undo = new AsyncDisposableStack();
  const nek = generateNek('test');
  const create = async (name: string): Promise<SealpostNode> =>
    undo.use(await SealpostNode.create({ name, nek, bus: guarded, config: CONFIG }));
  const nodes = [await create('edge-1'), await create('edge-2')];
  await Promise.all(nodes.map((node) => node.start()));
  const desk = undo.use(await SealpostNode.create({ name: 'desk', bus: guarded }));
  const { user, password } = guarded.login('operator');
  const env = { BUS_USER: user, BUS_PASSWORD: password.reveal() };
  const run = async (...args: string[]): Promise<string> => {
    const all = ['tls', 'reports', ...args, '--config', desk.configFile];
    const { code, stdout, stderr } = await sealpost(all, { cwd: desk.folder, env });
    assert.equal(code, 0, stderr);
    return stdout;
  };
  type Answer = { reports: { id: string; sessions: number }[]; policies: PolicyTotals[]; silent: string[] };
  const answer = async (...args: string[]): Promise<Answer> => JSON.parse(await run('--json', ...args)) as Answer;

  const first = { organisation: 'One', id: '1', days: 0, domain: 'example.com', succeeded: 5, expired: 2 };
  // A listener that has just started may not have heard of the router of its own node yet.
  const kept = nodes.map((node) => node.programs.get('all')?.waitForOutput(/"TLS report kept"/, 60_000));
  let done = false;
  void Promise.all(kept).then(() => (done = true));
  await waitFor(
    async () => {
      for (const { port } of nodes) await send(port, first);
      return done;
    },
    { what: 'the report on both nodes', timeout: 60_000 },
  );
  const [one, two] = nodes.map(({ port }) => port);
  await send(one ?? 0, { ...first, organisation: 'Two', id: '2', days: 1, succeeded: 10, expired: 1 });
  await send(two ?? 0, { ...first, id: '3', days: 20, domain: 'news.example.com', succeeded: 7, expired: 0 });
  await waitFor(async () => (await answer()).reports.length === 3, { what: 'all three', timeout: 20_000 });

  const all = await answer();
  assert.deepEqual(all.silent, []);
  assert.deepEqual(all.reports.map(({ id, sessions }) => [id, sessions]).toSorted(), [
    ['1', 7],
    ['2', 11],
    ['3', 7],
  ]);
  const main = {
    ...{ domain: 'example.com', policy: 'sts', succeeded: 15, failed: 3, reporters: ['One', 'Two'] },
    failures: [{ type: 'certificate-expired', host: 'mx1.example.com', count: 3, reporters: ['One', 'Two'] }],
  };
  const news = { domain: 'news.example.com', policy: 'sts', succeeded: 7, failed: 0, failures: [], reporters: ['One'] };
  assert.deepEqual(all.policies, [main, news]);
  assert.deepEqual((await answer('--since', '7d')).policies, [main]);
  assert.deepEqual((await answer('--domain', 'News.Example.COM')).policies, [news]);
  assert.deepEqual((await answer('--domain', 'example.net')).reports, []);
  const text = await run();
  assert.match(text, /^3 reports of 2 organisations\nfrom /);
  assert.match(text, /\nexample\.com +sts +15 +3 +One, Two\n +3 +certificate-expired at mx1\.example\.com +One, Two\n/);
});
