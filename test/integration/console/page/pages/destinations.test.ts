import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { TestBrowser, type TestWindow } from '#test/kit/browser/browser.ts';
import { signIn } from '#test/kit/browser/console.ts';
import { MailSite } from '#test/kit/console/mail-site.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Destinations in a browser: what waits and why, and what is done with all of it, seen in the queue itself. */

describe('the page of destinations', { ...needs('chromium'), timeout: 240_000 }, () => {
  const undo = new AsyncDisposableStack();
  let mail: MailSite;
  let browser: TestBrowser;

  before(async () => {
    browser = undo.use(await TestBrowser.start());
    mail = undo.use(await MailSite.start());
    for (let n = 0; n < 6; n++) await mail.send({ to: [`later+${n}@slow${n % 2}.test`] });
    await waitFor(async () => (await queued('--state', 'deferred')).length === 6, { what: 'mail that waits' });
  });
  after(() => undo.disposeAsync());

  async function open(window: TestWindow, path: string, ...options: string[]): Promise<Page> {
    const { page } = window;
    const origin = await signIn(window, mail.site.node, ...options);
    await page.goto(`${origin}${path}`);
    return page;
  }

  type Queued = { state: string; recipients: { suspended?: object; redirected?: object }[] };
  async function queued(...words: string[]): Promise<Queued[]> {
    return JSON.parse(await mail.site.node.sealpost('queue', 'list', '--json', ...words)).entries;
  }
  const dialog = (page: Page) => page.getByRole('dialog');
  const row = (page: Page, name: string) => page.getByRole('row', { name: new RegExp(`^${name}\\b`) });

  test('what waits is grouped, with the reason, and leads to one destination', async () => {
    await using window = await browser.open();
    const page = await open(window, '/destinations');
    await row(page, 'slow0.test').getByText('451 4.7.1 Greylisted, come again').waitFor();
    assert.equal(await row(page, 'slow0.test').getByRole('cell').nth(1).innerText(), '3');
    assert.deepEqual(await window.violations(), []);
    await page.getByRole('radio', { name: 'Last reply' }).check({ force: true });
    await row(page, '451 4.7.1 Greylisted').waitFor();
    for (const name of ['Sender', 'Held by', 'Node']) {
      await page.getByRole('radio', { name }).check({ force: true });
      await page
        .getByText(name === 'Held by' ? 'Nothing is held.' : /^(?:alice@example.com|edge-1)$/)
        .first()
        .waitFor();
    }
    await page.getByRole('radio', { name: 'Destination' }).check({ force: true });
    await row(page, 'slow1.test').getByRole('link').click();
    await page.getByRole('heading', { name: 'slow1.test', level: 1 }).waitFor();
    await page.getByText('The last word').waitFor();
    await page.getByRole('link', { name: 'See its messages' }).click();
    await page.getByText('3 found.').waitFor();
  });

  test('all mail to one is held after it was counted, and the others are left alone', async () => {
    await using window = await browser.open();
    const page = await open(window, '/destinations/destination/slow0.test');
    await page.getByRole('button', { name: 'Hold …' }).click();
    const go = dialog(page).getByRole('button', { name: 'Hold: 3 messages' });
    await go.waitFor();
    assert.equal((await queued('--state', 'hold')).length, 0, 'it is only counted');
    assert.deepEqual(await window.violations(), []);
    await go.click();
    await page.getByText('3 messages held.').waitFor();
    assert.equal((await queued('--state', 'hold')).length, 3);
    assert.equal((await queued('--state', 'deferred')).length, 3);
    await page.getByRole('button', { name: 'Release …' }).click();
    await dialog(page).getByRole('button', { name: 'Release: 3 messages' }).click();
    await page.getByText('3 messages released.').waitFor();
    await waitFor(async () => (await queued('--state', 'deferred')).length === 6, { what: 'mail that waits again' });
    await page.getByRole('button', { name: 'Retry now …' }).click();
    await dialog(page).getByRole('button', { name: 'Retry now: 3 messages' }).click();
    await page.getByText('3 messages tried now.').waitFor();
  });

  test('a destination is suspended and resumed', async () => {
    await using window = await browser.open();
    const page = await open(window, '/destinations/destination/slow1.test');
    await page.getByRole('button', { name: 'Suspend …' }).click();
    await dialog(page).getByRole('textbox', { name: 'Reason' }).fill('their disk is full');
    assert.deepEqual(await window.violations(), []);
    await dialog(page).getByRole('button', { name: 'Suspend', exact: true }).click();
    await page.getByText('their disk is full').waitFor();
    assert.equal((await queued('--domain', 'slow1.test')).filter(({ recipients: [one] }) => one?.suspended).length, 3);
    await page.goto(new URL('/destinations', page.url()).href);
    await row(page, 'slow1.test').getByText('suspended').waitFor();
    assert.deepEqual(await window.violations(), []);
    await page.getByRole('button', { name: 'Resume mail to slow1.test' }).click();
    await page.getByText('Mail to slow1.test is resumed.').waitFor();
    assert.equal((await queued('--domain', 'slow1.test')).filter(({ recipients: [one] }) => one?.suspended).length, 0);
  });

  test('a destination is redirected, and what cannot be is said', async () => {
    await using window = await browser.open();
    const page = await open(window, '/destinations');
    await page.getByRole('button', { name: 'Suspend or redirect …' }).click();
    await dialog(page).getByRole('radio', { name: 'Redirect' }).check({ force: true });
    await dialog(page).getByRole('textbox', { name: 'Domain' }).fill('slow1.test');
    await dialog(page).getByRole('textbox', { name: 'Next hop' }).fill('ftp://nowhere');
    await dialog(page).getByRole('button', { name: 'Redirect', exact: true }).click();
    await dialog(page)
      .getByRole('alert')
      .getByText(/Via is smtp/)
      .waitFor();
    await dialog(page).getByRole('textbox', { name: 'Next hop' }).fill(`smtp://127.0.0.1:${mail.sink.port}`);
    await dialog(page).getByRole('button', { name: 'Redirect', exact: true }).click();
    await row(page, 'slow1.test').getByText('redirected').waitFor();
    assert.equal((await queued('--domain', 'slow1.test')).filter(({ recipients: [one] }) => one?.redirected).length, 3);
    await page.getByRole('button', { name: 'End the redirect of mail to slow1.test' }).click();
    await page.getByText('Mail to slow1.test goes where its routes say.').waitFor();
  });

  test('all mail to one is returned, and that of a reply removed', async () => {
    await using window = await browser.open();
    const page = await open(window, '/destinations/destination/slow1.test');
    await page.getByRole('button', { name: 'Return to sender …' }).click();
    await dialog(page).getByRole('textbox', { name: 'Reason' }).fill('closed for good');
    await dialog(page).getByRole('button', { name: 'Return to sender: 3 messages' }).click();
    await page.getByText('3 messages returned.').waitFor();
    await waitFor(() => mail.sink.messages.filter(({ data }) => data.includes('closed for good')).length === 3, {
      what: 'the reports',
    });
    await page.getByText('Nothing waits here now.').waitFor();
    await page.goto(new URL('/destinations?by=reply', page.url()).href);
    await row(page, '451 4.7.1 Greylisted').getByRole('link').click();
    await page.getByRole('button', { name: 'Remove …' }).click();
    await dialog(page).getByRole('button', { name: 'Remove: 3 messages' }).click();
    await page.getByText('3 messages removed.').waitFor();
    assert.deepEqual(await queued(), []);
    await page.getByRole('link', { name: 'All replies' }).click();
    await page.getByText('Nothing waits: the queues are empty.').waitFor();
    assert.deepEqual(await window.violations(), []);
  });

  test('a viewer changes nothing, an administrator of some domains is told where hers is', async () => {
    await mail.send({ to: ['later@viewed.test'] });
    await using window = await browser.open({ theme: 'dark' });
    const page = await open(window, '/destinations', '--role', 'viewer');
    await row(page, 'viewed.test').getByRole('link').click();
    await page.getByText('Next attempt').waitFor();
    for (const name of ['Remove …', 'Suspend …']) assert.equal(await page.getByRole('button', { name }).count(), 0);
    assert.deepEqual(await window.violations(), []);
    await using bounded = await browser.open();
    const theirs = await open(bounded, '/destinations', '--domains', 'other.example');
    await theirs.getByText('Destinations are of all domains together.').waitFor();
    assert.deepEqual(await bounded.violations(), []);
  });

  test('on a narrow screen nothing is beyond its edge', async () => {
    for (const theme of ['light', 'dark'] as const) {
      await using window = await browser.open({ width: 380, height: 720, theme });
      const page = await open(window, '/destinations');
      const paths = ['/destinations?by=reply', '/destinations/destination/viewed.test'];
      for (const path of paths) {
        await page.goto(new URL(path, page.url()).href);
        await page.getByText('Messages', { exact: true }).last().waitFor();
        assert.equal(await window.sideways(), 0);
        assert.deepEqual(await window.violations(), []);
      }
    }
  });
});
