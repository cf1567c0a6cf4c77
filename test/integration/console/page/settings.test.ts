import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { TestBrowser } from '#test/kit/browser/browser.ts';
import { consoleSection, signIn } from '#test/kit/browser/console.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';

/** Settings in a browser. */

describe('settings', { ...needs('chromium'), timeout: 120_000 }, () => {
  const undo = new AsyncDisposableStack();
  let node: SealpostNode;
  let browser: TestBrowser;

  before(async () => {
    browser = undo.use(await TestBrowser.start());
    const section = await consoleSection(
      'tokens: [{ name: robot, token: this-is-never-shown-0123456789, role: viewer }]',
    );
    node = undo.use(await SealpostNode.create({ config: section }));
    await node.start();
    await node.createKey('example.com', 's1', 'ed25519');
  });
  after(() => undo.disposeAsync());

  for (const [theme, width] of [
    ['light', 1280],
    ['dark', 380],
  ] as const) {
    test(`who changed what, what is in force, and what is wrong with a change: ${theme}, ${width} pixels`, async () => {
      await using window = await browser.open({ theme, width });
      const { page } = window;
      const whole = async (): Promise<void> => {
        assert.deepEqual(await window.violations(), []);
        assert.equal(await window.sideways(), 0);
      };
      const origin = await signIn(window, node, '--role', 'viewer');
      await page.goto(`${origin}/settings`);
      await page.getByText('credential-store key-create').first().waitFor();
      await page.getByText('s1 of example.com').first().waitFor();
      await whole();
      await page.getByLabel('About').fill('nobody has done this');
      await page.getByText('No changes').waitFor();

      await page.getByRole('link', { name: 'Configuration', exact: true }).click();
      await page.getByRole('group', { name: 'Section queue' }).waitFor();
      const text = await page.locator('main').innerText();
      assert.ok(text.includes('[secret]') && !text.includes('this-is-never-shown'));
      await whole();

      await page.getByRole('link', { name: 'Check a configuration' }).click();
      await page.getByLabel('sealpost.yaml').fill('node: { name: edge-1 }\nqueue: { expires: 5d }\n');
      await page.getByRole('button', { name: 'Check' }).click();
      await page.getByText(/line 2: .*expire/).waitFor();
      await whole();
      await page.getByLabel('sealpost.yaml').fill('listeners: [{ name: mx, kind: relay, port: 25, tls: none }]\n');
      await page.getByRole('button', { name: 'Check' }).click();
      await page.getByText('It is valid.').waitFor();
    });
  }
});
