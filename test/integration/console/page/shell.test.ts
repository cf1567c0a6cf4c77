import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { TestBrowser, type TestWindow } from '#test/kit/browser/browser.ts';
import { consoleSection, signIn, signInLink } from '#test/kit/browser/console.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';

/** Signing in and out, and moving between pages, in a browser. */

const TOKEN = 'a-token-of-twenty-characters-or-more';

describe('the console in a browser', { ...needs('chromium'), timeout: 180_000 }, () => {
  const undo = new AsyncDisposableStack();
  let node: SealpostNode;
  let browser: TestBrowser;

  before(async () => {
    browser = undo.use(await TestBrowser.start());
    const config = await consoleSection(`tokens: [{ name: page, token: ${TOKEN}, role: viewer }]`);
    node = undo.use(await SealpostNode.create({ sink: 1, config }));
    await node.start();
  });
  after(() => undo.disposeAsync());

  const addressIn = async (window: TestWindow): Promise<string> => new URL(window.page.url()).pathname;

  test('nobody sees anything before the sign-in, and is then at the page that was asked for', async () => {
    const origin = new URL(await signInLink(node)).origin;
    for (const theme of ['light', 'dark'] as const) {
      await using window = await browser.open({ theme });
      const { page } = window;
      await page.goto(`${origin}/messages?state=hold`);
      await page.getByRole('button', { name: 'Sign in' }).waitFor();
      assert.equal(await page.getByRole('navigation').count(), 0);
      assert.deepEqual(await window.violations(), []);
      await page.getByLabel('User').fill('nobody@example.com');
      await page.getByLabel('Password', { exact: true }).and(page.locator('input[type=password]')).fill('wrong');
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page
        .getByRole('alert')
        .getByText(/password/)
        .waitFor();
      assert.deepEqual(await window.violations(), []);

      await page.getByRole('radio', { name: 'Token' }).check({ force: true });
      await page.getByRole('textbox', { name: 'Token' }).fill(TOKEN);
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { name: 'Messages', level: 1 }).waitFor();
      assert.equal(page.url(), `${origin}/messages?state=hold`);
      assert.equal(await page.getByText('viewer').count(), 1);
    }
  });

  test('a link signs in once', async () => {
    const link = await signInLink(node);
    await using first = await browser.open();
    await first.page.goto(link);
    await first.page.getByRole('navigation', { name: 'Console' }).waitFor();
    await using second = await browser.open();
    await second.page.goto(link);
    await second.page
      .getByRole('alert')
      .getByText(/used before/)
      .waitFor();
    assert.equal(new URL(second.page.url()).hash, '');
    assert.deepEqual(await second.violations(), []);
  });

  test('the keyboard is enough', async () => {
    await using window = await browser.open();
    const { page } = window;
    await signIn(window, node);
    await page.keyboard.press('Tab');
    await page.getByRole('link', { name: 'Skip to the page' }).and(page.locator(':focus')).waitFor();
    await page.keyboard.press('Enter');
    await page.locator('main:focus').waitFor();

    await page.reload();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    const focused = (): Promise<string> => page.evaluate('document.activeElement.textContent.trim()');
    for (let i = 0; i < 10 && (await focused()) !== 'Keys'; i++) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Keys', level: 1 }).waitFor();
    assert.equal(await addressIn(window), '/keys');
    assert.equal(await page.title(), 'Keys · Sealpost');
    await page.locator('main:focus').waitFor();
    await page.goBack();
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();

    await page.getByRole('radio', { name: 'As the system has it' }).focus();
    await page.keyboard.press('ArrowRight');
    assert.equal(await page.evaluate('document.documentElement.dataset.theme'), 'light');
    await page.getByRole('button', { name: 'Sign out' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
    await page.reload();
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
  });

  test('an address that leads nowhere says so', async () => {
    await using window = await browser.open();
    const { page } = window;
    const origin = await signIn(window, node);
    for (const path of ['/nowhere', '/overview/edge-1', '/<img src=x onerror=alert(1)>']) {
      await page.goto(`${origin}${path}`);
      await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
    }
    assert.deepEqual(await window.violations(), []);
  });
});
