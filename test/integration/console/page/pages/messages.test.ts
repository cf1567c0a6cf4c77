import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import type { MessageReply } from '#services/console/schemas/messages.ts';
import { SiteInBrowser } from '#test/kit/browser/console.ts';
import { MailSite, NASTY } from '#test/kit/console/mail-site.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Messages in a browser: found, followed and changed, with what it does seen in the queue itself. */

describe('the page of messages', { ...needs('chromium'), timeout: 240_000 }, () => {
  const console = new SiteInBrowser(() => MailSite.start());

  /** As programs are told it, which is what `sealpost why` has too. */
  async function cause(id: string): Promise<string> {
    using program = console.site.site.program('robot');
    return ((await program.get(`/api/messages/${id}`)).json as MessageReply).cause;
  }
  const becomes = (id: string, wanted: string): Promise<unknown> =>
    waitFor(async () => (await cause(id)) === wanted, { what: `${id} to be ${wanted}` });
  async function waiting(to = 'later@slow.test'): Promise<string> {
    const id = await console.site.send({ to: [to], subject: NASTY });
    await becomes(id, 'deferred-by-host');
    return id;
  }
  const rows = (page: Page) => page.getByRole('region', { name: 'Messages' }).locator('tbody tr[data-index]');
  const dialog = (page: Page) => page.getByRole('dialog');

  test('a search finds mail, keeps its words in the address, and leads to a message and back', async () => {
    const id = await waiting('later@found.test');
    await console.site.send({ to: ['bob@found.test'] });
    await using window = await console.open('/messages');
    const { page } = window;
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
    await window.check();
  });

  test('a message is held, released, tried, returned and removed', async () => {
    const id = await waiting();
    await using window = await console.open(`/messages/${id}`);
    const { page } = window;
    const click = (name: string) => page.getByRole('main').getByRole('button', { name, exact: true }).click();
    await click('Hold');
    await dialog(page).getByText('until somebody releases it').waitFor();
    await dialog(page).getByRole('button', { name: 'Hold' }).click();
    await page.getByText(`Message ${id} is held.`).waitFor();
    await becomes(id, 'held-by-operator');
    await page.getByText(/an operator holds it/).waitFor();
    await click('Release');
    await page.getByText(`Message ${id} is released.`).waitFor();
    const journey = page.getByRole('region', { name: 'Journey' });
    const attempts = journey.getByRole('listitem').filter({ hasText: 'Deferred' });
    await waitFor(async () => (await attempts.count()) === 2, { what: 'an attempt after the release' });
    await click('Retry now');
    await waitFor(async () => (await attempts.count()) === 3, { what: 'another attempt' });

    await click('Return to sender');
    await dialog(page).getByRole('textbox', { name: 'Reason' }).fill('they have moved');
    await window.check();
    await dialog(page).getByRole('button', { name: 'Return' }).click();
    await page.getByText('A non-delivery report was sent').waitFor();
    await becomes(id, 'removed');
    await waitFor(() => console.site.sink.messages.some(({ data }) => data.includes('they have moved')), {
      what: 'the report',
    });

    const other = await waiting();
    await page.goto(`/messages/${other}`);
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
    await using window = await console.open('/messages?q=several.test');
    const { page } = window;
    for (const id of ids) await page.getByRole('checkbox', { name: `Select message ${id}` }).check();
    await page.getByText('2 messages selected').waitFor();
    await window.check();
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
    const id = await console.site.send({ to: ['nasty@nasty.test'], subject: NASTY, text: NASTY });
    await becomes(id, 'deferred-by-host');
    await using window = await console.open('/messages?q=nasty.test');
    const { page } = window;
    await page.getByText('<img src=x onerror').first().waitFor();
    await rows(page).first().getByRole('link').click();
    await page.getByText(/The mail for <nasty@nasty.test>/).waitFor();
    await page.getByRole('button', { name: 'Show the text' }).click();
    const source = page.getByRole('group', { name: 'Text of the message' });
    await source.waitFor();
    assert.ok((await source.innerText()).includes(`Subject: ${NASTY}`));
    assert.equal(await page.locator('main img, main script').count(), 0);
    assert.notEqual(await page.title(), 'owned');
    await window.check();
    await page.goto('/destinations?by=reply');
    await page.getByText('<img src=x onerror').first().waitFor();
    assert.equal(await page.locator('main img, main script').count(), 0);
    assert.notEqual(await page.title(), 'owned');
  });

  test('a refusal at the door says why', async () => {
    await assert.rejects(console.site.send({ from: 'spam@refused.test', to: ['x'.repeat(300)] }));
    await using window = await console.open('/messages?state=refused&q=spam@refused.test');
    const { page } = window;
    await rows(page).first().getByRole('button').click();
    await dialog(page)
      .getByText(/edge-1 refused the mail from <spam@refused.test>/)
      .waitFor();
    await window.check();
    await page.keyboard.press('Escape');
    await dialog(page).waitFor({ state: 'detached' });
  });

  test('a viewer sees all of it but the text, and has no buttons that change', async () => {
    const id = await waiting();
    await using window = await console.open(`/messages/${id}`, { role: 'viewer' });
    const { page } = window;
    await page.getByRole('heading', { name: 'Journey' }).waitFor();
    for (const name of ['Hold', 'Remove', 'Retry now', 'Show the text'])
      assert.equal(await page.getByRole('button', { name }).count(), 0, name);
    await page.getByRole('link', { name: 'All messages' }).click();
    await rows(page).first().waitFor();
    assert.equal(await page.getByRole('checkbox').count(), 0);
    await window.check();
  });

  test('an administrator of another domain finds nothing of it', async () => {
    const id = await waiting();
    await using window = await console.open('/messages', { domains: ['other.example'] });
    const { page } = window;
    await page.getByText('There is no mail yet.').waitFor();
    await page.goto(`/messages/${id}`);
    await page.getByText(/Nothing is known of/).waitFor();
  });

  test('everybody can read them, on any screen', async () => {
    const id = await waiting(`later+${'long'.repeat(12)}@${'label.'.repeat(8)}slow.test`);
    await using window = await console.open('/messages');
    const { page } = window;
    await rows(page).first().waitFor();
    await window.checkScreens();
    await page.goto(`/messages/${id}`);
    await page.getByRole('heading', { name: 'Journey' }).waitFor();
    await window.checkScreens();
  });
});
