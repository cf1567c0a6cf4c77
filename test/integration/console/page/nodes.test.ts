import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { consoleSection, SiteInBrowser } from '#test/kit/browser/console.ts';
import { sendMail } from '#test/kit/console/mail-site.ts';
import { CopiesCluster } from '#test/kit/nodes/copies-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Three nodes on one page, from any of their consoles: the overview shows them as mail passes, mail is found and changed wherever
 * it is, and a node that is killed is missing by name.
 */

describe('three nodes on one page', { ...needs('chromium', 'nats-server'), timeout: 240_000 }, () => {
  const console = new SiteInBrowser(() => CopiesCluster.start({ sections: () => consoleSection(), load: 3 }));

  const cellOf = (page: Page, node: string, column: number) =>
    page
      .getByRole('row', { name: new RegExp(`^${node}\\b`) })
      .getByRole('cell')
      .nth(column);

  test('mail is seen as it passes, in both themes, for everybody', async () => {
    await using window = await console.open('/');
    const { page } = window;
    for (const node of ['edge-1', 'edge-2', 'edge-3'])
      await cellOf(page, node, 0).getByText('up', { exact: true }).waitFor();
    const accepted = cellOf(page, 'edge-2', 1);
    await waitFor(async () => Number(await accepted.innerText()) > 0, { what: 'edge-2 to accept mail' });
    await page.getByText('live', { exact: true }).waitFor();
    await page.getByText('Mail flows.').waitFor();
    await window.checkScreens();

    await page.getByRole('radio', { name: 'Dark' }).check({ force: true });
    assert.equal(await page.evaluate('getComputedStyle(document.documentElement).colorScheme'), 'dark');
    await window.check();
    await page.reload();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    assert.equal(await page.evaluate('getComputedStyle(document.documentElement).colorScheme'), 'dark', 'it is kept');
  });

  test('the values of a chart are there as a table', async () => {
    await using window = await console.open('/', { node: 2 });
    const chart = window.page.getByRole('figure', { name: /^Mail per second/ });
    await chart.getByText('As a table').click();
    const table = chart.getByRole('table');
    await waitFor(async () => /^\d\d:\d\d:\d\d\s+[\d.]+/m.test(await table.innerText()), {
      what: 'values of a moment',
    });
    await window.check();
  });

  test('on a narrow screen the navigation unfolds', async () => {
    await using window = await console.open('/', { width: 380, height: 720 });
    const { page } = window;
    await page.getByRole('listitem').getByText('edge-3').waitFor();
    await page.getByRole('button', { name: 'Navigation' }).click();
    await page.getByRole('link', { name: 'Messages' }).waitFor();
    await window.checkScreens();
  });

  test('mail is found from any of them, and held and released on the node that has it', async () => {
    const cluster = console.site;
    await cluster.node(1).sealpost('queue', 'suspend', '--domain', 'paused.test');
    const ids: string[] = [];
    for (const { name, port } of cluster.nodes) {
      ids.push(await waitFor(() => sendMail(port, { to: ['bob@paused.test'] }).catch(() => undefined), { what: name }));
    }
    await using window = await console.open('/messages?q=paused.test');
    const { page } = window;
    await page.getByText('3 found.').waitFor();
    for (const id of ids) await page.getByRole('checkbox', { name: `Select message ${id}` }).check();
    await page.getByRole('group', { name: 'Selected messages' }).getByRole('button', { name: 'Hold' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Hold' }).click();
    await page.getByText('3 messages held.').waitFor();
    for (const id of ids) {
      const told = JSON.parse(await cluster.node(3).sealpost('why', id, '--json'));
      assert.equal(told.cause, 'held-by-operator', id);
    }
    await page.goto('/destinations/destination/paused.test');
    await page.getByRole('button', { name: 'Release …' }).click();
    await page.getByText(/edge-1: 1, edge-2: 1 and edge-3: 1/).waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Release: 3 messages' }).click();
    await page.getByText('3 messages released.').waitFor();
    await window.check();
  });

  test('a node that is killed is shown within five seconds, and its mail is missing by name', async () => {
    await using window = await console.open('/');
    const { page } = window;
    const gone = page.getByText('edge-3 does not answer');
    await page.getByText('live', { exact: true }).waitFor();
    assert.equal(await gone.count(), 0);
    const [program] = console.site.node(3).programs.values();
    await program?.kill();
    const start = performance.now();
    await gone.waitFor({ timeout: 10_000 });
    const ms = performance.now() - start;
    assert.ok(ms < 5000, `it took ${Math.round(ms)} ms`);
    await cellOf(page, 'edge-3', 0)
      .getByText(/^(?:silent|gone)$/)
      .waitFor();
    await window.check();

    await using mail = await console.open('/messages?q=paused.test');
    await mail.page.getByText(/^The mail of edge-3 is missing here/).waitFor({ timeout: 30_000 });
    await mail.page.getByText(/^[23] found/).waitFor();
    await mail.check();
    await mail.page.goto('/destinations');
    await mail.page.getByText(/^The queues of edge-3 are not counted/).waitFor({ timeout: 30_000 });

    await console.site.node(3).start();
    await gone.waitFor({ state: 'detached', timeout: 30_000 });
  });

  test('a console that dies is noticed, and one that returns is found again', async () => {
    await using window = await console.open('/', { node: 2 });
    const { page } = window;
    await page.getByText('live', { exact: true }).waitFor();
    await page.getByRole('figure', { name: /^Mail per second/ }).waitFor();
    const [program] = console.site.node(2).programs.values();
    await program?.kill();
    await page.getByText('This page has lost its console').waitFor({ timeout: 10_000 });
    await page.getByText(/^no news for/).waitFor();
    await window.check();
    await console.site.node(2).start();
    // Sessions are in memory: who was signed in there signs in again, at the same address.
    await page.getByText('Your session has ended.').waitFor({ timeout: 40_000 });
    window.problems.length = 0;
  });
});
