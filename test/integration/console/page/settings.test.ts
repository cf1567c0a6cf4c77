import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SiteInBrowser } from '#test/kit/browser/console.ts';
import { ConsoleSite, TOKENS } from '#test/kit/console/site.ts';
import { needs } from '#test/kit/runner/peers.ts';

/** Settings in a browser. */

describe('settings', { ...needs('chromium'), timeout: 120_000 }, () => {
  const console = new SiteInBrowser(() =>
    ConsoleSite.start({ config: 'domains: [{ name: example.com, keys: { proof: none } }]' }),
  );

  test('who changed what, what is in force, and what is wrong with a change', async () => {
    await console.site.node.createKey('example.com', 's1', 'ed25519');
    await using window = await console.open('/settings', { role: 'viewer' });
    const { page } = window;
    await page.getByText('credential-store key-create').first().waitFor();
    await page.getByText('s1 of example.com').first().waitFor();
    await window.checkScreens();
    await page.getByLabel('About').fill('nobody has done this');
    await page.getByText('No changes').waitFor();

    await page.getByRole('link', { name: 'Configuration', exact: true }).click();
    await page.getByRole('group', { name: 'Section queue' }).waitFor();
    const text = await page.locator('main').innerText();
    assert.ok(text.includes('[secret]') && !text.includes(TOKENS.robot));
    await window.checkScreens();

    await page.getByRole('link', { name: 'Try a change' }).click();
    await page.getByLabel('sealpost.yaml').fill('node: { name: edge-1 }\nqueue: { expires: 5d }\n');
    await page.getByRole('button', { name: 'Check' }).click();
    await page.getByText(/line 2: .*expire/).waitFor();
    await window.checkScreens();
    await page
      .getByLabel('sealpost.yaml')
      .fill('node: { name: edge-9 }\nlisteners: [{ name: mx, kind: relay, port: 25, tls: none }]\n');
    await page.getByRole('button', { name: 'Check' }).click();
    await page.getByText('It is valid.').waitFor();
    await page.getByRole('row', { name: /relay\.allow\.hosts while it runs 127\.0\.0\.1 taken out/ }).waitFor();
    await page.getByText(/^Node edge-1 must be restarted for node\.name/).waitFor();
    await window.checkScreens();
  });
});
