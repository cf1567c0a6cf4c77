import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import type { DmarcReportsReply, TlsReportsReply } from '#services/console/schemas/received.ts';
import { consoleSection, SiteInBrowser } from '#test/kit/browser/console.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Reports of others in a browser, from the port on which they arrive; what strangers write in them stays text. */

const DAY_MS = 86_400_000;
const SCRIPT = fileURLToPath(new URL('../../../kit/dmarc/mail-dmarc-report.pl', import.meta.url));
const HOSTILE = '<img src=x onerror=alert(1)>';
const CONFIG = `
relay: {}
domains: [{ name: example.com, local: true, keys: { proof: none } }]
delivery: { tls-reports: { receive: [tls@example.com] } }
authenticity: { dmarc: { reports: { receive: [dmarc@example.com] } } }
routes: [{ to: "*", via: capture }]
`;

/** As RFC 8460 §5.3 has it. */
function tlsReport(): string {
  const day = (days: number): string => new Date(Date.now() - days * DAY_MS).toISOString();
  const json = JSON.stringify({
    ...{ 'organization-name': HOSTILE, 'contact-info': 'tls@receiver.example', 'report-id': '1' },
    'date-range': { 'start-datetime': day(1), 'end-datetime': day(0) },
    policies: [
      {
        policy: { 'policy-type': 'sts', 'policy-domain': 'example.com' },
        summary: { 'total-successful-session-count': 5, 'total-failure-session-count': 2 },
        'failure-details': [
          { 'result-type': 'certificate-expired', 'receiving-mx-hostname': HOSTILE, 'failed-session-count': 2 },
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

async function dmarcReport(): Promise<string> {
  const end = Math.floor(Date.now() / 1000);
  const rows = ['192.0.2.1,5,none,pass,fail', '2001:db8::1,3,reject,fail,fail'];
  const args = [SCRIPT, '1', 'example.com', String(end - 86_400), String(end), ...rows];
  const { stdout } = await promisify(execFile)('perl', args);
  return stdout.replace(/\r?\n/g, '\r\n').replace(/^\./gm, '..');
}

async function send(port: number, to: string, message: string): Promise<void> {
  await using dialog = await Dialog.connect(port, { timeout: 20_000 });
  await dialog.expect(220);
  await dialog.say('EHLO receiver.example', 250);
  await dialog.say('MAIL FROM:<noreply@receiver.example>', 250);
  await dialog.say(`RCPT TO:<${to}>`, 250);
  await dialog.say('DATA', 354);
  await dialog.say(`${message}\r\n.`, 250);
}

const peers = needs('chromium', '/usr/share/perl5/Mail/DMARC.pm');

describe('reports of others', { ...peers, timeout: 240_000 }, () => {
  const console = new SiteInBrowser(async () => {
    const node = await SealpostNode.create({ config: `${CONFIG}${await consoleSection()}` });
    await node.start();
    return node;
  });

  before(async () => {
    const { port } = console.site;
    await send(port, 'tls@example.com', tlsReport());
    await send(port, 'dmarc@example.com', await dmarcReport());
  });

  test('are shown by domain, failure and source', async () => {
    await using window = await console.open('/', { domains: ['example.com'] });
    const { page } = window;
    const ask = async <T>(path: string): Promise<T> => (await (await page.request.get(path)).json()) as T;
    await waitFor(
      async () =>
        (await ask<TlsReportsReply>('/api/tls/reports')).reports === 1 &&
        (await ask<DmarcReportsReply>('/api/authentication/dmarc')).reports === 1,
      { what: 'both reports' },
    );
    await page.goto('/tls/reports');
    const card = page.getByRole('region', { name: 'example.com, MTA-STS', exact: true });
    await card.getByText('2 failed').waitFor();
    await card.getByText(`reported by ${HOSTILE}`).waitFor();
    assert.equal(await card.getByRole('cell', { name: HOSTILE }).count(), 2);
    await window.checkScreens();

    // Of a week the table has every day.
    await page.goto('/authentication?days=7');
    await page.getByText('2001:db8::1').first().waitFor();
    await page.getByText('all fail').waitFor();
    await page.getByText('all pass').waitFor();
    await page.getByText('As a table').click();
    await page.getByRole('row', { name: /^\d{4}-\d\d-\d\d 5 3$/ }).waitFor();
    await window.checkScreens();
    assert.equal(await page.locator('main img').count(), 0);
    await page.setViewportSize({ width: 380, height: 720 });
    await page.getByText('3 messages, DKIM 0, SPF 0').first().waitFor();
  });

  test('are not those of other domains, for a domain administrator', async () => {
    await using window = await console.open('/tls/reports', { domains: ['other.example'] });
    const { page } = window;
    await page.getByText('No TLS report about that time').waitFor();
    await page.goto('/authentication');
    await page.getByText('No DMARC report about that time').waitFor();
    await window.check();
    assert.equal((await page.request.get('/api/authentication/dmarc?days=0')).status(), 422);
  });
});
