import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestWindow } from '#test/kit/browser/browser.ts';
import { SiteInBrowser } from '#test/kit/browser/console.ts';
import { ConsoleSite, TOKENS } from '#test/kit/console/site.ts';
import { needs } from '#test/kit/runner/peers.ts';

/** Signing in and out, and moving between pages, in a browser. */

describe('the console in a browser', { ...needs('chromium'), timeout: 180_000 }, () => {
  const console = new SiteInBrowser(() => ConsoleSite.start());

  const addressIn = async (window: TestWindow): Promise<string> => new URL(window.page.url()).pathname;

  test('nobody sees anything before the sign-in, and is then at the page that was asked for', async () => {
    const { origin } = console.site;
    await using window = await console.browser.open({ origin });
    const { page } = window;
    await page.goto('/messages?state=hold');
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
    assert.equal(await page.getByRole('navigation').count(), 0);
    await window.check();
    await page.getByLabel('User').fill('nobody@example.com');
    await page.getByLabel('Password', { exact: true }).and(page.locator('input[type=password]')).fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page
      .getByRole('alert')
      .getByText(/password/)
      .waitFor();
    await window.checkScreens();

    await page.getByRole('radio', { name: 'Token' }).check({ force: true });
    await page.getByRole('textbox', { name: 'Token' }).fill(TOKENS.watcher);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Messages', level: 1 }).waitFor();
    assert.equal(page.url(), `${origin}/messages?state=hold`);
    assert.equal(await page.getByText('viewer').count(), 1);
  });

  test('a link signs in once', async () => {
    const link = (await console.site.node.sealpost('console', 'link')).split('\n')[0] ?? '';
    await using first = await console.browser.open();
    await first.page.goto(link);
    await first.page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    assert.equal(first.page.url(), `${console.site.origin}/`, 'the secret of the link stays in no address');
    await using second = await console.browser.open();
    await second.page.goto(link);
    await second.page
      .getByRole('alert')
      .getByText(/used before/)
      .waitFor();
    assert.equal(new URL(second.page.url()).hash, '');
    await second.check();
  });

  test('the keyboard is enough', async () => {
    await using window = await console.open('/');
    const { page } = window;
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
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
    await using window = await console.open('/');
    const { page } = window;
    for (const path of ['/nowhere', '/overview/edge-1', '/<img src=x onerror=alert(1)>']) {
      await page.goto(path);
      await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
    }
    await window.check();
  });
});
