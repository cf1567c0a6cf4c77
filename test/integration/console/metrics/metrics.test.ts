import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort } from '#test/kit/free-port.ts';
import { Prometheus } from '#test/kit/monitoring/prometheus.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { locate, needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** What a node counts, as a real Prometheus sees it: the dashboard has something to show, and the alerts fire. */

const MONITORING = fileURLToPath(new URL('../../../../cluster/monitoring/', import.meta.url));
const TOKEN = 'a-token-of-the-test';

async function send(port: number, from: string, to: string): Promise<number> {
  await using dialog = await Dialog.connect(port);
  await dialog.read();
  for (const line of ['EHLO client.test', `MAIL FROM:<${from}>`, `RCPT TO:<${to}>`]) {
    const { code } = await dialog.command(line);
    if (code >= 400) return code;
  }
  await dialog.command('DATA');
  const { code } = await dialog.command(`From: <${from}>\r\nSubject: counted\r\n\r\nHello\r\n.`);
  await dialog.command('QUIT');
  return code;
}

async function scrape(port: number, token = TOKEN): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  return { status: response.status, body: await response.text() };
}

/** The value of the first series with this name and these labels. */
function counted(body: string, name: string, labels: Record<string, string>): number | undefined {
  const line = body
    .split('\n')
    .find((l) => l.startsWith(`${name}{`) && Object.entries(labels).every(([k, v]) => l.includes(`${k}="${v}"`)));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}

/** The expressions of the dashboard, as Grafana would send them. */
async function dashboardQueries(): Promise<string[]> {
  const { panels } = JSON.parse(await readFile(`${MONITORING}dashboard.json`, 'utf8')) as {
    panels: { targets?: { expr: string }[] }[];
  };
  return panels.flatMap(({ targets = [] }) =>
    targets.map(({ expr }) => expr.replaceAll('$node', '.*').replaceAll('$__rate_interval', '1m')),
  );
}

test('a real Prometheus reads a node: every query of the dashboard answers, and alerts fire', {
  ...needs('prometheus', 'promtool'),
  timeout: 180_000,
}, async (t) => {
  await using sink = await SmtpSink.start({
    script: ({ verb, address }) => {
      if (verb === 'RCPT' && address.startsWith('gone')) return '550 5.1.1 no such user';
      return verb === 'RCPT' && address.startsWith('later') ? '451 4.2.0 later' : undefined;
    },
  });
  const port = await freePort();
  await using node = await SealpostNode.create({
    sink: sink.port,
    config: `metrics: { port: ${port}, token: { file: ./token } }\n`,
  });
  const token = join(node.folder, 'token');
  await writeFile(token, `${TOKEN}\n`, { mode: 0o600 });
  await node.start();
  await node.createKey('example.com', 's1');
  for (const [from, to, code] of [
    ['a@example.com', 'b@elsewhere.test', 250],
    ['a@unsigned.test', 'b@elsewhere.test', 250],
    ['a@example.com', 'gone@elsewhere.test', 250],
    ['a@example.com', 'later@elsewhere.test', 250],
    ['a@example.com', 'no address', 501],
  ] as const) {
    assert.equal(await send(node.port, from, to), code);
  }

  await t.test('what it counts is what happened', async () => {
    const seen = await waitFor(
      async () => {
        const { body } = await scrape(port);
        const ended = counted(body, 'sealpost_recipients_total', { outcome: 'failed' });
        return ended === 1 && counted(body, 'sealpost_recipients_total', { outcome: 'deferred' }) === 1 && body;
      },
      { what: 'the mail to be tried' },
    );
    const expected: [string, Record<string, string>, number][] = [
      ['sealpost_messages_total', { listener: 'mx', outcome: 'accepted' }, 4],
      ['sealpost_smtp_replies_total', { listener: 'mx', code: '501' }, 1],
      ['sealpost_recipients_total', { outcome: 'delivered', signed: 'yes', tls: 'clear', transport: 'smtp' }, 1],
      ['sealpost_recipients_total', { outcome: 'failed', signed: 'yes' }, 1],
      ['sealpost_delivery_seconds_count', { transport: 'smtp' }, 3],
      ['sealpost_signing_total', { outcome: 'signed' }, 3],
      ['sealpost_notices_total', {}, 1],
      ['sealpost_queue_messages', { state: 'deferred' }, 1],
      ['sealpost_keys', { state: 'active' }, 1],
      ['sealpost_service_up', { service: 'router' }, 1],
      ['sealpost_config_refused', {}, 0],
      ['sealpost_bus_calls_total', { operation: 'transfer-commit', result: 'ok' }, 4],
    ];
    for (const [name, labels, value] of expected) {
      const text = `${name} ${JSON.stringify(labels)}`;
      assert.equal(counted(seen, name, { node: 'edge-1', ...labels }), value, `${text}\n${seen}`);
    }
    for (const private_ of ['elsewhere.test', 'later@', TOKEN]) assert.ok(!seen.includes(private_), private_);
  });

  await t.test('promtool finds nothing to complain about', async () => {
    const child = spawn(locate('promtool') ?? 'promtool', ['check', 'metrics'], { stdio: 'pipe' });
    child.stdin.end((await scrape(port)).body);
    const said = await Promise.all([text(child.stdout), text(child.stderr)]);
    // Node's own names are not ours to change.
    const complaints = said
      .join('')
      .split('\n')
      .filter((line) => line !== '' && !/^nodejs_|^process_/.test(line));
    assert.deepEqual(complaints, []);
  });

  await t.test('without the token nobody learns anything', async () => {
    for (const wrong of ['', 'x', TOKEN.slice(1), `${TOKEN}x`]) {
      const { status, body } = await scrape(port, wrong);
      assert.equal(status, 401);
      assert.doesNotMatch(body, /sealpost_/);
    }
    const elsewhere = await fetch(`http://127.0.0.1:${port}/`, { headers: { authorization: `Bearer ${TOKEN}` } });
    assert.equal(elsewhere.status, 404);
  });

  // Alerts wait for minutes, so that they are not a nuisance; here they need not.
  const rules = (await readFile(`${MONITORING}alerts.yaml`, 'utf8')).replace(/for: \w+/g, 'for: 0s');
  await using prometheus = await Prometheus.start({ targets: [port], token, rules });
  await waitFor(async () => (await prometheus.query('up{job="sealpost"}'))[0]?.value[1] === '1', { what: 'a scrape' });

  await t.test('every query of the dashboard', async () => {
    await send(node.port, 'a@example.com', 'b@elsewhere.test');
    // No bus, no certificate of the cluster, no mail from outside, nothing amiss: so there is nothing to be seen of these.
    const without = /queue_copies|certificate_expires|key_problem|authenticity|code=~"235|result!="ok"/;
    for (const query of await dashboardQueries()) {
      await waitFor(async () => (await prometheus.query(query)).length > 0 || without.test(query), {
        what: `an answer to ${query}`,
      });
    }
  });

  await t.test('alerts fire', async () => {
    assert.deepEqual(
      (await prometheus.alerts()).map(({ labels }) => labels['alertname']),
      [],
    );
    const { entries } = JSON.parse(await node.sealpost('queue', 'list', '--json')) as {
      entries: { queueId: string }[];
    };
    await node.sealpost('queue', 'hold', entries[0]?.queueId ?? '');
    const held = await prometheus.fires('SealpostMailHeld');
    assert.match(held.annotations['summary'] ?? '', /^1 messages of node edge-1 are held/);
    await appendFile(node.configFile, '\nnonsense: 1\n');
    await prometheus.fires('SealpostConfigRefused');
    for (const program of node.programs.values()) await program.kill();
    await prometheus.fires('SealpostProcessDown');
  });
});
