import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestBrowser } from '#test/kit/browser/browser.ts';
import { consoleSection, openConsole } from '#test/kit/browser/console.ts';
import { sendMail } from '#test/kit/console/mail-site.ts';
import { CopiesCluster } from '#test/kit/nodes/copies-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';
import { keys } from './keys.ts';
import { people } from './people.ts';
import { button, dialog, FOLDER, look, settled, visit, type Walk, why } from './walk.ts';

/**
 * An operator walks through every page of the console and does what each offers, in Chromium, beside three nodes with mail.
 * Each page is looked at in both themes, wide and at 380 px: nothing is beyond the edge, and axe-core finds nothing.
 * `SEALPOST_SCREENSHOTS` names a folder for pictures of them.
 */

const PATIENCE_MS = 90_000;
/** A node that dies is shown within this time. */
const SHOWN_MS = 5000;

test('an operator walks through the console of three nodes', {
  ...needs('chromium', 'nats-server'),
  timeout: 20 * 60_000,
}, async (t) => {
  // The host that puts mail off until it is not busy any more.
  let isBusy = true;
  await using slow = await SmtpSink.start({
    script: ({ verb }) => (verb === 'RCPT' && isBusy ? '451 4.7.1 Greylisted, come again' : undefined),
  });
  await using browser = await TestBrowser.start();
  const routes = [`{ to: slow.test, via: "smtp://127.0.0.1:${slow.port}" }`];
  await using cluster = await CopiesCluster.start({ sections: () => consoleSection(), routes });
  await using loads = new AsyncDisposableStack();
  for (const load of cluster.loads('walk', 6)) loads.use(load).start();
  await using window = await openConsole(browser, cluster.node(1), '/');
  const { page } = window;
  page.setDefaultTimeout(PATIENCE_MS);
  const walk: Walk = { cluster, window, page, shots: 0 };

  await t.test('the overview shows mail as it passes', () => overview(walk));
  await t.test('a message that another node puts off is found, held and released', () =>
    messages(walk, () => {
      isBusy = false;
    }),
  );
  isBusy = true;
  await t.test('destinations are suspended, and their mail is changed together', () => destinations(walk));
  await t.test('a rotation is watched to its end', () => keys(walk));
  await t.test('a test message is sent, and its steps are shown', () => tryIt(walk));
  await t.test('TLS and authentication are read', () => readings(walk));
  await t.test('a user comes and goes', () => people(walk));
  await t.test('settings say who did all that, and what a change would do', () => settings(walk));
  await t.test('a node that is killed is shown', () => death(walk));
  t.diagnostic(`${walk.shots} views looked at${FOLDER === undefined ? '' : `, in ${FOLDER}`}`);
});

async function overview(walk: Walk): Promise<void> {
  const { page } = walk;
  for (const node of ['edge-1', 'edge-2', 'edge-3']) {
    const row = page.getByRole('row', { name: new RegExp(`^${node}\\b`) });
    await row.getByRole('cell').first().getByText('up', { exact: true }).waitFor();
    await waitFor(async () => Number(await row.getByRole('cell').nth(1).innerText()) > 0, {
      timeout: PATIENCE_MS,
      what: `${node} to accept mail`,
    });
  }
  await page.getByText('live', { exact: true }).waitFor();
  await look(walk, 'overview');
}

async function messages(walk: Walk, recover: () => void): Promise<void> {
  const { page, cluster } = walk;
  const id = await sendMail(cluster.node(2).port, { to: ['bob@slow.test'], subject: 'Quarterly figures' });
  await waitFor(async () => (await why(walk, id)).cause === 'deferred-by-host', { what: 'it to be put off' });
  await visit(walk, 'Messages');
  await page.getByRole('searchbox', { name: 'Search' }).fill('bob@slow.test');
  await page.keyboard.press('Enter');
  await page.getByText('1 found.').waitFor();
  await look(walk, 'messages');
  await page.getByRole('region', { name: 'Messages' }).getByRole('link').first().click();
  await page.getByText(/waits in the queue of edge-2/).waitFor();
  await look(walk, 'message-deferred');
  await button(page, 'Hold').click();
  await dialog(page).getByRole('button', { name: 'Hold' }).click();
  await page.getByText(`Message ${id} is held.`).waitFor();
  assert.equal((await why(walk, id)).cause, 'held-by-operator');
  await button(page, 'Show the text').click();
  await page.getByRole('group', { name: 'Text of the message' }).waitFor();
  recover();
  await button(page, 'Release').click();
  await page.getByText(`Message ${id} is released.`).waitFor();
  await waitFor(async () => (await why(walk, id)).cause === 'delivered', {
    timeout: PATIENCE_MS,
    what: 'its delivery',
  });
  await page.getByRole('listitem').filter({ hasText: 'Delivered' }).first().waitFor();
  await look(walk, 'message-delivered');
}

async function destinations(walk: Walk): Promise<void> {
  const { page, cluster } = walk;
  for (const n of [1, 2, 3]) await sendMail(cluster.node(n).port, { to: ['bob@slow.test'] });
  await visit(walk, 'Destinations');
  const row = page.getByRole('row', { name: /^slow\.test\b/ });
  await waitFor(
    async () => {
      await button(page, 'Count again').click();
      return (
        (await row
          .getByRole('cell')
          .nth(1)
          .innerText({ timeout: 5000 })
          .catch(() => '')) === '3'
      );
    },
    { timeout: PATIENCE_MS, what: 'three messages for slow.test' },
  );
  for (const by of ['Last reply', 'Sender', 'Held by', 'Node', 'Destination'])
    await page.getByRole('radio', { name: by }).check({ force: true });
  await look(walk, 'destinations');
  await row.getByRole('link').click();
  await page.getByText('The last word').waitFor();
  await button(page, 'Suspend …').click();
  await dialog(page).getByRole('textbox', { name: 'Reason' }).fill('their disk is full');
  await dialog(page).getByRole('button', { name: 'Suspend', exact: true }).click();
  await page.getByText('their disk is full').waitFor();
  await look(walk, 'destination-suspended');
  await button(page, 'Resume mail to slow.test').click();
  await page.getByText('Mail to slow.test is resumed.').waitFor();
  for (const [verb, done] of [
    ['Hold', 'held'],
    ['Release', 'released'],
    ['Remove', 'removed'],
  ] as const) {
    await button(page, `${verb} …`).click();
    await dialog(page)
      .getByRole('button', { name: `${verb}: 3 messages` })
      .click();
    await page.getByText(`3 messages ${done}.`).waitFor();
  }
  await page.getByText('Nothing waits here now.').waitFor();
}

async function readings(walk: Walk): Promise<void> {
  const { page } = walk;
  for (const title of ['TLS', 'Authentication']) {
    await visit(walk, title);
    await look(walk, title);
    const tabs = page.locator('nav.tabs');
    for (const name of (await tabs.getByRole('link').allTextContents()).slice(1)) {
      await tabs.getByRole('link', { name, exact: true }).click();
      await settled(page);
      await look(walk, `${title}-${name}`);
    }
  }
}

async function tryIt(walk: Walk): Promise<void> {
  const { page } = walk;
  await visit(walk, 'Try it');
  await look(walk, 'try-it');
  await page.getByLabel('From').fill('carol@example.com');
  await page.getByLabel('To', { exact: true }).fill('bob@dest.test');
  await page.getByLabel('Subject').fill('Is anybody there?');
  await button(page, 'Send the message').click();
  await page.getByText(/^Accepted as message /).waitFor();
  const afterwards = page.getByRole('region', { name: 'Afterwards' });
  await afterwards.getByText('Delivered', { exact: true }).waitFor();
  await look(walk, 'try-it-delivered');
}

async function settings(walk: Walk): Promise<void> {
  const { page } = walk;
  await visit(walk, 'Settings');
  await page.getByText('credential-store rotation-start').first().waitFor();
  await look(walk, 'settings');
  await page.getByRole('link', { name: 'Configuration', exact: true }).click();
  await page.getByRole('group', { name: 'Section queue' }).waitFor();
  await look(walk, 'settings-in-force');
  await page.getByRole('link', { name: 'Try a change' }).click();
  const text = 'node: { name: edge-9 }\nlisteners: [{ name: mx, kind: relay, port: 25, tls: none }]\n';
  await page.getByLabel('sealpost.yaml').fill(text);
  await button(page, 'Check').click();
  await page.getByText(/^Node edge-1 must be restarted for/).waitFor();
  await look(walk, 'settings-try');
}

async function death(walk: Walk): Promise<void> {
  const { page, cluster } = walk;
  await visit(walk, 'Overview');
  await page.getByText('live', { exact: true }).waitFor();
  const gone = page.getByText('edge-3 does not answer');
  assert.equal(await gone.count(), 0);
  const [program] = cluster.node(3).programs.values();
  await program?.kill();
  const killed = performance.now();
  await gone.waitFor();
  const ms = Math.round(performance.now() - killed);
  assert.ok(ms <= SHOWN_MS, `shown after ${ms} ms`);
  await look(walk, 'overview-node-killed');
  await cluster.node(3).start();
  await gone.waitFor({ state: 'detached' });
}
