import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { SiteInBrowser } from '#test/kit/browser/console.ts';
import { MailSite } from '#test/kit/console/mail-site.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Destinations in a browser: what waits and why, and what is done with all of it, seen in the queue itself. */

describe('the page of destinations', { ...needs('chromium'), timeout: 240_000 }, () => {
  const console = new SiteInBrowser(() => MailSite.start());

  before(async () => {
    for (let n = 0; n < 6; n++) await console.site.send({ to: [`later+${n}@slow${n % 2}.test`] });
    await waitFor(async () => (await queued({ state: 'deferred' })).length === 6, { what: 'mail that waits' });
  });

  /** Asked of the router itself. */
  async function queued(filter: { state?: 'deferred' | 'hold'; domain?: string } = {}) {
    const router = console.site.site.node.client('router');
    return (await router['message-list'](filter)).entries;
  }
  const dialog = (page: Page) => page.getByRole('dialog');
  const row = (page: Page, name: string) => page.getByRole('row', { name: new RegExp(`^${name}\\b`) });

  test('what waits is grouped, with the reason, and leads to one destination', async () => {
    await using window = await console.open('/destinations');
    const { page } = window;
    await row(page, 'slow0.test').getByText('451 4.7.1 Greylisted, come again').waitFor();
    assert.equal(await row(page, 'slow0.test').getByRole('cell').nth(1).innerText(), '3');
    await window.checkScreens();
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
    await using window = await console.open('/destinations/destination/slow0.test');
    const { page } = window;
    await page.getByRole('button', { name: 'Hold …' }).click();
    const go = dialog(page).getByRole('button', { name: 'Hold: 3 messages' });
    await go.waitFor();
    assert.equal((await queued({ state: 'hold' })).length, 0, 'it is only counted');
    await window.check();
    await go.click();
    await page.getByText('3 messages held.').waitFor();
    assert.equal((await queued({ state: 'hold' })).length, 3);
    assert.equal((await queued({ state: 'deferred' })).length, 3);
    await page.getByRole('button', { name: 'Release …' }).click();
    await dialog(page).getByRole('button', { name: 'Release: 3 messages' }).click();
    await page.getByText('3 messages released.').waitFor();
    await waitFor(async () => (await queued({ state: 'deferred' })).length === 6, { what: 'mail that waits again' });
    await page.getByRole('button', { name: 'Retry now …' }).click();
    await dialog(page).getByRole('button', { name: 'Retry now: 3 messages' }).click();
    await page.getByText('3 messages tried now.').waitFor();
  });

  test('a destination is suspended and resumed', async () => {
    await using window = await console.open('/destinations/destination/slow1.test');
    const { page } = window;
    await page.getByRole('button', { name: 'Suspend …' }).click();
    await dialog(page).getByRole('textbox', { name: 'Reason' }).fill('their disk is full');
    await window.check();
    await dialog(page).getByRole('button', { name: 'Suspend', exact: true }).click();
    await page.getByText('their disk is full').waitFor();
    assert.equal((await queued({ domain: 'slow1.test' })).filter(({ recipients: [one] }) => one?.suspended).length, 3);
    await page.goto('/destinations');
    await row(page, 'slow1.test').getByText('suspended').waitFor();
    await window.check();
    await page.getByRole('button', { name: 'Resume mail to slow1.test' }).click();
    await page.getByText('Mail to slow1.test is resumed.').waitFor();
    assert.equal((await queued({ domain: 'slow1.test' })).filter(({ recipients: [one] }) => one?.suspended).length, 0);
  });

  test('a destination is redirected, and what cannot be is said', async () => {
    await using window = await console.open('/destinations');
    const { page } = window;
    await page.getByRole('button', { name: 'Suspend or redirect …' }).click();
    await dialog(page).getByRole('radio', { name: 'Redirect' }).check({ force: true });
    await dialog(page).getByRole('textbox', { name: 'Domain' }).fill('slow1.test');
    await dialog(page).getByRole('textbox', { name: 'Next hop' }).fill('ftp://nowhere');
    await dialog(page).getByRole('button', { name: 'Redirect', exact: true }).click();
    await dialog(page)
      .getByRole('alert')
      .getByText(/Via is smtp/)
      .waitFor();
    await dialog(page).getByRole('textbox', { name: 'Next hop' }).fill(`smtp://127.0.0.1:${console.site.sink.port}`);
    await dialog(page).getByRole('button', { name: 'Redirect', exact: true }).click();
    await row(page, 'slow1.test').getByText('redirected').waitFor();
    assert.equal((await queued({ domain: 'slow1.test' })).filter(({ recipients: [one] }) => one?.redirected).length, 3);
    await page.getByRole('button', { name: 'End the redirect of mail to slow1.test' }).click();
    await page.getByText('Mail to slow1.test goes where its routes say.').waitFor();
  });

  test('all mail to one is returned, and that of a reply removed', async () => {
    await using window = await console.open('/destinations/destination/slow1.test');
    const { page } = window;
    await page.getByRole('button', { name: 'Return to sender …' }).click();
    await dialog(page).getByRole('textbox', { name: 'Reason' }).fill('closed for good');
    await dialog(page).getByRole('button', { name: 'Return to sender: 3 messages' }).click();
    await page.getByText('3 messages returned.').waitFor();
    await waitFor(
      () => console.site.sink.messages.filter(({ data }) => data.includes('closed for good')).length === 3,
      {
        what: 'the reports',
      },
    );
    await page.getByText('Nothing waits here now.').waitFor();
    await page.goto('/destinations?by=reply');
    await row(page, '451 4.7.1 Greylisted').getByRole('link').click();
    await page.getByRole('button', { name: 'Remove …' }).click();
    await dialog(page).getByRole('button', { name: 'Remove: 3 messages' }).click();
    await page.getByText('3 messages removed.').waitFor();
    assert.deepEqual(await queued(), []);
    await page.getByRole('link', { name: 'All replies' }).click();
    await page.getByText('Nothing waits: the queues are empty.').waitFor();
    await window.check();
  });

  test('a viewer changes nothing, an administrator of some domains sees what is of hers', async () => {
    await console.site.send({ to: ['later@viewed.test'] });
    await using window = await console.open('/destinations', { role: 'viewer' });
    const { page } = window;
    await row(page, 'viewed.test').getByRole('link').click();
    await page.getByText('Next attempt').waitFor();
    for (const name of ['Remove …', 'Suspend …']) assert.equal(await page.getByRole('button', { name }).count(), 0);
    await window.checkScreens();
    await using bounded = await console.open('/destinations', { domains: ['other.example'] });
    await bounded.page.getByText('Nothing waits: the queues are empty.').waitFor();
    await bounded.check();
    await using own = await console.open('/destinations', { domains: ['viewed.test'] });
    await row(own.page, 'viewed.test').getByRole('link').click();
    await own.page.getByText('Next attempt').waitFor();
    for (const name of ['Remove …', 'Suspend …']) assert.equal(await own.page.getByRole('button', { name }).count(), 0);
    await own.page.getByRole('link', { name: 'See its messages' }).click();
    await own.page.getByText('later@viewed.test').first().waitFor();
  });
});
