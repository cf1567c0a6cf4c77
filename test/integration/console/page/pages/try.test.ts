import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SiteInBrowser } from '#test/kit/browser/console.ts';
import { MailSite, NASTY } from '#test/kit/console/mail-site.ts';
import { freePort } from '#test/kit/free-port.ts';
import { needs } from '#test/kit/runner/peers.ts';

/** A test message in a browser: sent through a real listener, and followed until it waits or has left. */

describe('the page Try it', { ...needs('chromium'), timeout: 240_000 }, () => {
  const console = new SiteInBrowser(async () => {
    const config = `
listeners:
  - { name: mx, kind: relay, address: 127.0.0.1, port: ${await freePort()}, tls: none }
  - { name: inner, kind: relay, address: 127.0.0.1, port: ${await freePort()}, tls: none }
relay: { allow: { domains: [example.net] } }
domains: [{ name: example.com, keys: { proof: none } }]
`;
    return MailSite.start({ config });
  });

  test('shows what is said at each step, and what becomes of the message', async () => {
    await using window = await console.open('/try');
    const { page } = window;
    await page.getByLabel('Listener').selectOption({ index: 1 });
    await page.getByLabel('From').fill('carol@example.org');
    await page.getByLabel('To', { exact: true }).fill('bob@example.net');
    await page.getByLabel('Subject').fill(NASTY);
    const send = page.getByRole('button', { name: 'Send the message' });
    await send.click();
    await page.getByText(/^Accepted as message /).waitFor();
    const session = page.getByRole('region', { name: 'At the listener' });
    await session.getByText('MAIL FROM:<carol@example.org>').waitFor();
    await session.getByText(/at inner of edge-1/).waitFor();
    const afterwards = page.getByRole('region', { name: 'Afterwards' });
    await afterwards.getByText('Delivered', { exact: true }).waitFor();
    await window.checkScreens();

    // What waits says for what, in the words of its next hop, which stay text.
    await page.getByLabel('To', { exact: true }).fill('nasty@example.net');
    await send.click();
    await afterwards.getByText(NASTY).first().waitFor();
    await afterwards.getByText('Next attempt', { exact: true }).waitFor();
    await window.checkScreens();

    await page.getByLabel('To', { exact: true }).fill('bob@elsewhere.test');
    await send.click();
    await page.getByText(/^Refused: 55\d /).waitFor();
    await page.getByText('Nothing was put into a queue.').waitFor();
    await window.checkScreens();
    assert.notEqual(await page.title(), 'owned');
  });

  test('says why nothing was sent, to a domain administrator with the sender of another domain', async () => {
    await using window = await console.open('/try', { domains: ['example.com'] });
    const { page } = window;
    await page.getByText('An address of example.com, in the envelope and in the header.').waitFor();
    await page.getByLabel('From').fill('carol@example.org');
    await page.getByLabel('To', { exact: true }).fill('bob@example.net');
    await page.getByRole('button', { name: 'Send the message' }).click();
    await page.getByText('The sender of a test message is an address of your domains.').waitFor();
    await window.check();
  });

  test('is not offered to viewers, and sends nothing for them', async () => {
    await using window = await console.open('/try', { role: 'viewer' });
    const { page } = window;
    await page.getByText('Test messages are sent by operators').waitFor();
    assert.equal(await page.getByRole('link', { name: 'Try it' }).count(), 0);
    assert.equal(await page.getByRole('button', { name: 'Send the message' }).count(), 0);
    await window.check();
  });
});
