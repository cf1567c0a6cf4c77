import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { TestBrowser, type TestWindow } from '#test/kit/browser/browser.ts';
import { signIn } from '#test/kit/browser/console.ts';
import { MailSite, NASTY } from '#test/kit/console/mail-site.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Messages in a browser: found, followed and changed, with what it does seen in the queue itself. */

describe('the page of messages', { ...needs('chromium'), timeout: 240_000 }, () => {
  const undo = new AsyncDisposableStack();
  let mail: MailSite;
  let browser: TestBrowser;

  before(async () => {
    browser = undo.use(await TestBrowser.start());
    mail = undo.use(await MailSite.start());
  });
  after(() => undo.disposeAsync());

  async function open(window: TestWindow, path: string, ...options: string[]): Promise<Page> {
    const { page } = window;
    const origin = await signIn(window, mail.site.node, ...options);
    await page.goto(`${origin}${path}`);
    return page;
  }

  /** As `sealpost why` has it. */
  async function cause(id: string): Promise<string> {
    return JSON.parse(await mail.site.node.sealpost('why', id, '--json')).cause;
  }
  const becomes = (id: string, wanted: string): Promise<unknown> =>
    waitFor(async () => (await cause(id)) === wanted, { what: `${id} to be ${wanted}` });
  async function waiting(to = 'later@slow.test'): Promise<string> {
    const id = await mail.send({ to: [to], subject: NASTY });
    await becomes(id, 'deferred-by-host');
    return id;
  }
  const rows = (page: Page) => page.getByRole('region', { name: 'Messages' }).locator('tbody tr[data-index]');
  const dialog = (page: Page) => page.getByRole('dialog');

  test('a search finds mail, keeps its words in the address, and leads to a message and back', async () => {
    const id = await waiting('later@found.test');
    await mail.send({ to: ['bob@found.test'] });
    await using window = await browser.open();
    const page = await open(window, '/messages');
    await page.getByRole('searchbox', { name: 'Search' }).fill('found.test');
    await page.keyboard.press('Enter');
    await page.getByText('2 found.').waitFor();
    assert.equal(new URL(page.url()).searchParams.get('q'), 'found.test');
    await page.getByRole('radio', { name: 'Waiting' }).check({ force: true });
    await page.getByText('1 found.').waitFor();
    await rows(page).first().getByRole('link').click();
    await page.getByRole('heading', { name: `Message ${id}` }).waitFor();
    await page.getByText(/waits in the queue of edge-1/).waitFor();
    await page.goBack();
    await page.getByText('1 found.').waitFor();
    assert.equal(await page.getByRole('searchbox').inputValue(), 'found.test');
    await page.getByRole('searchbox').fill('nothing@nowhere.test');
    await page.keyboard.press('Enter');
    await page.getByText('No mail fits this search.').waitFor();
    assert.deepEqual(await window.violations(), []);
  });

  test('a message is held, released, tried, returned and removed', async () => {
    await using window = await browser.open();
    const id = await waiting();
    const page = await open(window, `/messages/${id}`);
    const click = (name: string) => page.getByRole('main').getByRole('button', { name, exact: true }).click();
    await click('Hold');
    await dialog(page).getByText('until somebody releases it').waitFor();
    await dialog(page).getByRole('button', { name: 'Hold' }).click();
    await page.getByText(`Message ${id} is held.`).waitFor();
    await becomes(id, 'held-by-operator');
    await page.getByText(/an operator holds it/).waitFor();
    assert.deepEqual(await window.violations(), []);
    await click('Release');
    await page.getByText(`Message ${id} is released.`).waitFor();
    const attempts = page.getByRole('listitem').filter({ hasText: 'Deferred' });
    await waitFor(async () => (await attempts.count()) === 2, { what: 'an attempt after the release' });
    await click('Retry now');
    await waitFor(async () => (await attempts.count()) === 3, { what: 'another attempt' });

    await click('Return to sender');
    await dialog(page).getByRole('textbox', { name: 'Reason' }).fill('they have moved');
    assert.deepEqual(await window.violations(), []);
    await dialog(page).getByRole('button', { name: 'Return' }).click();
    await page.getByText('A non-delivery report was sent').waitFor();
    await becomes(id, 'removed');
    await waitFor(() => mail.sink.messages.some(({ data }) => data.includes('they have moved')), {
      what: 'the report',
    });

    const other = await waiting();
    await page.goto(new URL(`/messages/${other}`, page.url()).href);
    await click('Remove');
    await dialog(page)
      .getByText(/Nobody is told/)
      .waitFor();
    await dialog(page).getByRole('button', { name: 'Cancel' }).click();
    assert.equal(await cause(other), 'deferred-by-host', 'nothing is done before it is confirmed');
    await click('Remove');
    await dialog(page).getByRole('button', { name: 'Remove' }).click();
    await page.getByText(/was taken out of the queue of edge-1 by an operator/).waitFor();
    assert.equal(await cause(other), 'removed');
  });

  test('several messages are changed together', async () => {
    const ids = [await waiting('later@several.test'), await waiting('later@several.test')];
    const spared = await waiting('later@several.test');
    await using window = await browser.open();
    const page = await open(window, '/messages?q=several.test');
    for (const id of ids) await page.getByRole('checkbox', { name: `Select message ${id}` }).check();
    await page.getByText('2 messages selected').waitFor();
    assert.deepEqual(await window.violations(), []);
    await page.getByRole('group', { name: 'Selected messages' }).getByRole('button', { name: 'Hold' }).click();
    await dialog(page).getByRole('button', { name: 'Hold' }).click();
    await page.getByText('2 messages held.').waitFor();
    assert.deepEqual(await Promise.all(ids.map(cause)), ['held-by-operator', 'held-by-operator']);
    assert.equal(await cause(spared), 'deferred-by-host');
    await page.getByRole('checkbox', { name: 'Select all that wait or are held' }).check();
    await page.getByText('3 messages selected').waitFor();
    await page.getByRole('group', { name: 'Selected messages' }).getByRole('button', { name: 'Remove' }).click();
    await dialog(page).getByRole('button', { name: 'Remove' }).click();
    await page.getByText('3 messages removed.').waitFor();
    assert.equal(await cause(spared), 'removed');
  });

  test('what strangers write stays text, also when an operator reads the mail', async () => {
    const id = await mail.send({ to: ['nasty@nasty.test'], subject: NASTY, text: NASTY });
    await becomes(id, 'deferred-by-host');
    await using window = await browser.open();
    const page = await open(window, '/messages?q=nasty.test');
    await page.getByText('<img src=x onerror').first().waitFor();
    await rows(page).first().getByRole('link').click();
    await page.getByText(/The mail for <nasty@nasty.test>/).waitFor();
    await page.getByRole('button', { name: 'Show the text' }).click();
    const source = page.getByRole('group', { name: 'Text of the message' });
    await source.waitFor();
    assert.ok((await source.innerText()).includes(`Subject: ${NASTY}`));
    assert.equal(await page.locator('main img, main script').count(), 0);
    assert.notEqual(await page.title(), 'owned');
    assert.deepEqual(await window.violations(), []);
    await page.goto(new URL('/destinations?by=reply', page.url()).href);
    await page.getByText('<img src=x onerror').first().waitFor();
    assert.equal(await page.locator('main img, main script').count(), 0);
    assert.notEqual(await page.title(), 'owned');
  });

  test('a refusal at the door says why', async () => {
    await assert.rejects(mail.send({ from: 'spam@refused.test', to: ['x'.repeat(300)] }));
    await using window = await browser.open();
    const page = await open(window, '/messages?state=refused&q=spam@refused.test');
    await rows(page).first().getByRole('button').click();
    await dialog(page)
      .getByText(/edge-1 refused the mail from <spam@refused.test>/)
      .waitFor();
    assert.deepEqual(await window.violations(), []);
    await page.keyboard.press('Escape');
    await dialog(page).waitFor({ state: 'detached' });
  });

  test('a viewer sees all of it but the text, and has no buttons that change', async () => {
    const id = await waiting();
    await using window = await browser.open({ theme: 'dark' });
    const page = await open(window, `/messages/${id}`, '--role', 'viewer');
    await page.getByRole('heading', { name: 'Journey' }).waitFor();
    for (const name of ['Hold', 'Remove', 'Retry now', 'Show the text'])
      assert.equal(await page.getByRole('button', { name }).count(), 0, name);
    assert.deepEqual(await window.violations(), []);
    await page.getByRole('link', { name: 'All messages' }).click();
    await rows(page).first().waitFor();
    assert.equal(await page.getByRole('checkbox').count(), 0);
    assert.deepEqual(await window.violations(), []);
  });

  test('an administrator of another domain finds nothing of it', async () => {
    const id = await waiting();
    await using window = await browser.open();
    const page = await open(window, '/messages', '--domains', 'other.example');
    await page.getByText('There is no mail yet.').waitFor();
    await page.goto(new URL(`/messages/${id}`, page.url()).href);
    await page.getByText(/Nothing is known of/).waitFor();
  });

  test('on a narrow screen nothing is beyond its edge', async () => {
    const id = await waiting(`later+${'long'.repeat(12)}@${'label.'.repeat(8)}slow.test`);
    for (const theme of ['light', 'dark'] as const) {
      await using window = await browser.open({ width: 380, height: 720, theme });
      const page = await open(window, '/messages');
      await rows(page).first().waitFor();
      assert.equal(await window.sideways(), 0);
      assert.deepEqual(await window.violations(), []);
      await page.goto(new URL(`/messages/${id}`, page.url()).href);
      await page.getByRole('heading', { name: 'Journey' }).waitFor();
      assert.equal(await window.sideways(), 0);
      assert.deepEqual(await window.violations(), []);
    }
  });
});
