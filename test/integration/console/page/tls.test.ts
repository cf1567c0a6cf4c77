import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import type { LedgerReply } from '#services/console/schemas/tls.ts';
import { consoleSection, SiteInBrowser } from '#test/kit/browser/console.ts';
import { CertificateCluster } from '#test/kit/nodes/certificate-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { issue } from '#test/kit/tls/issue.ts';
import { waitFor } from '#test/kit/wait.ts';

/** TLS in a browser: three nodes whose mail leaves in clear text, with a certificate that expires soon. */

const DAY_MS = 86_400_000;

async function send(port: number, from: string, to: string): Promise<void> {
  await using dialog = await Dialog.connect(port, { timeout: 20_000 });
  await dialog.expect(220);
  await dialog.say('EHLO client.test', 250);
  await dialog.say(`MAIL FROM:<${from}>`, 250);
  await dialog.say(`RCPT TO:<${to}>`, 250);
  await dialog.say('DATA', 354);
  await dialog.say('Subject: x\r\n\r\nx\r\n.', 250);
}

/** On one node, as `sealpost certificates import` does. */
async function importCertificate({ files, nodes: [node] }: CertificateCluster, name: string): Promise<void> {
  const root = await issue('Root', { ca: true });
  const life = { from: Date.now() - 60 * DAY_MS, until: Date.now() + 5 * DAY_MS };
  const issued = await issue('mx.example.com', { by: root, names: ['mx.example.com'], ...life });
  const [certificate, key] = [join(files.path, `${name}.pem`), join(files.path, `${name}-key.pem`)];
  await writeFile(certificate, issued.certificate + root.certificate);
  await writeFile(key, issued.key, { mode: 0o600 });
  const args = ['certificates', 'import', name, '--certificate', certificate, '--key', key];
  // Right after their start the nodes may have no majority of JetStream yet.
  await waitFor(() => node?.sealpost(...args).catch(() => undefined), { what: 'the import', timeout: 30_000 });
}

describe('TLS of three nodes', { ...needs('chromium', 'nats-server', 'openssl'), timeout: 240_000 }, () => {
  const console = new SiteInBrowser(async () => {
    const sections = await Promise.all([1, 2, 3].map(() => consoleSection()));
    return CertificateCluster.start({ config: (n) => sections[n - 1] ?? '' });
  });

  before(async () => {
    const { site: cluster } = console;
    await importCertificate(cluster, 'mx');
    await cluster.inUse('mx', ({ current }) => current !== undefined);
    for (const [i, { port }] of cluster.nodes.entries()) {
      await send(port, 'a@example.com', 'b@far.test');
      if (i === 0) await send(port, 'a@sender.test', 'b@other.test');
    }
  });

  test('the ledger has the mail of every node by domain, and leads to each message', async () => {
    await using window = await console.open('/');
    const { page } = window;
    const ledger = async (): Promise<LedgerReply> =>
      (await (await page.request.get('/api/tls/ledger')).json()) as LedgerReply;
    await waitFor(async () => (await ledger()).totals.some(({ weaker }) => weaker === 3), { what: 'three deliveries' });
    const { totals, sum, silent } = await ledger();
    assert.deepEqual(
      totals.map(({ domain, clear, weaker }) => [domain, clear, weaker]),
      [
        ['far.test', 3, 3],
        ['other.test', 1, 1],
      ],
    );
    assert.deepEqual([sum, silent], [{ clear: 4, encrypted: 0, verified: 0, undelivered: 0, weaker: 4 }, []]);

    await page.goto('/tls');
    await page.getByRole('row', { name: /far\.test weaker 3 3 0 0/ }).waitFor();
    await page.getByRole('searchbox', { name: 'Domain' }).fill('other');
    await page.getByRole('row', { name: /far\.test/ }).waitFor({ state: 'detached' });
    await page.getByRole('searchbox', { name: 'Domain' }).fill('');
    await page.getByRole('link', { name: 'far.test' }).click();
    await page.getByRole('heading', { name: 'TLS of far.test' }).waitFor();
    await page
      .getByRole('row', { name: /clear text opportunistic \(default\)/ })
      .first()
      .waitFor();
    assert.equal(await page.getByRole('link', { name: /^[0-9A-Z]{16}$/ }).count(), 3);
    await page.getByLabel('Only what is weaker than wanted').check();
    await page.waitForURL(/weaker=true/);
    await window.checkScreens();
    await page.getByRole('link', { name: 'All domains' }).click();
    await page.getByRole('radio', { name: 'Mail that came' }).check();
    await page.getByRole('row', { name: /sender\.test clear text 1/ }).waitFor();
    assert.equal((await page.request.get('/api/tls/ledger?hours=x')).status(), 422);
  });

  test('certificates say what is wrong with them, and where they are in use', async () => {
    await using window = await console.open('/tls/certificates', { node: 2 });
    const { page } = window;
    const card = page.getByRole('region', { name: 'mx', exact: true });
    await card.getByText('expires soon').waitFor();
    await card.getByText('edge-1, edge-2 and edge-3').waitFor();
    await page.getByText(/Certificate mx: expires on .*, in 4d/).waitFor();
    const table = page.getByRole('table', { name: 'Certificates that listeners show to clients' });
    await table.getByRole('row', { name: /mx\.example\.com .* edge-1, edge-2 and edge-3/ }).waitFor();
    assert.equal(await page.getByRole('button', { name: 'Order now' }).count(), 0, 'it was imported');
    await window.checkScreens();
  });

  test('a domain administrator sees her mail alone, and nothing of the hosts, on a narrow screen too', async () => {
    const bounded = { node: 3, domains: ['example.com'], width: 380, height: 720 };
    await using window = await console.open('/tls?direction=in', bounded);
    const { page } = window;
    await page.getByRole('link', { name: /example\.com.* clear text/ }).waitFor();
    assert.equal(await page.getByText('sender.test').count(), 0);
    assert.equal(await page.getByRole('link', { name: 'Certificates' }).count(), 0);
    assert.equal((await page.request.get('/api/tls/certificates')).status(), 403);
    await window.checkScreens();
    await page.goto('/tls/domain/far.test');
    await page.getByText(/far\.test is not a domain of yours/i).waitFor();
    await window.check();
  });
});
