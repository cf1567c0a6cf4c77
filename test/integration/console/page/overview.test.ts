import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { TestBrowser } from '#test/kit/browser/browser.ts';
import { consoleSection, signIn } from '#test/kit/browser/console.ts';
import { CopiesCluster } from '#test/kit/nodes/copies-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** The overview in a browser, beside three nodes with mail. */

describe('the overview of three nodes', { ...needs('chromium', 'nats-server'), timeout: 240_000 }, () => {
  const undo = new AsyncDisposableStack();
  let cluster: CopiesCluster;
  let browser: TestBrowser;

  before(async () => {
    browser = undo.use(await TestBrowser.start());
    cluster = undo.use(await CopiesCluster.start({ sections: () => consoleSection() }));
    for (const load of cluster.loads('overview', 15)) undo.use(load).start();
  });
  after(() => undo.disposeAsync());

  test('mail is seen as it passes, in both themes, for everybody', async () => {
    await using window = await browser.open();
    const { page } = window;
    await signIn(window, cluster.node(1));
    assert.equal(new URL(page.url()).hash, '', 'the secret of the link stays in no address');
    const cell = (node: string, column: number) =>
      page
        .getByRole('row', { name: new RegExp(`^${node}\\b`) })
        .getByRole('cell')
        .nth(column);
    for (const node of ['edge-1', 'edge-2', 'edge-3']) await cell(node, 0).getByText('up', { exact: true }).waitFor();
    const accepted = cell('edge-2', 1);
    await waitFor(async () => Number(await accepted.innerText()) > 0, { what: 'edge-2 to accept mail' });
    await page.getByText('live', { exact: true }).waitFor();
    await page.getByText('Mail flows.').waitFor();
    assert.deepEqual(await window.violations(), []);
    assert.equal(await window.sideways(), 0);

    await page.getByRole('radio', { name: 'Dark' }).check({ force: true });
    assert.equal(await page.evaluate('getComputedStyle(document.documentElement).colorScheme'), 'dark');
    assert.deepEqual(await window.violations(), []);
    await page.reload();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    assert.equal(await page.evaluate('getComputedStyle(document.documentElement).colorScheme'), 'dark', 'it is kept');
  });

  test('the values of a chart are there as a table', async () => {
    await using window = await browser.open();
    const { page } = window;
    await signIn(window, cluster.node(2));
    const chart = page.getByRole('figure', { name: /^Mail per second/ });
    await chart.getByText('As a table').click();
    const table = chart.getByRole('table');
    await waitFor(async () => /^\d\d:\d\d:\d\d\s+[\d.]+/m.test(await table.innerText()), {
      what: 'values of a moment',
    });
    assert.deepEqual(await window.violations(), []);
  });

  test('on a narrow screen nothing is beyond its edge, and the navigation unfolds', async () => {
    for (const theme of ['light', 'dark'] as const) {
      await using window = await browser.open({ width: 380, height: 720, theme });
      const { page } = window;
      await signIn(window, cluster.node(1));
      await page.getByRole('listitem').getByText('edge-3').waitFor();
      assert.equal(await window.sideways(), 0);
      assert.deepEqual(await window.violations(), []);
      await page.getByRole('button', { name: 'Navigation' }).click();
      await page.getByRole('link', { name: 'Messages' }).waitFor();
      assert.equal(await window.sideways(), 0);
      assert.deepEqual(await window.violations(), []);
    }
  });

  test('a node that is killed is shown within five seconds', async () => {
    await using window = await browser.open();
    const { page } = window;
    await signIn(window, cluster.node(1));
    const gone = page.getByText('edge-3 does not answer');
    await page.getByText('live', { exact: true }).waitFor();
    assert.equal(await gone.count(), 0);
    const [program] = cluster.node(3).programs.values();
    await program?.kill();
    const start = performance.now();
    await gone.waitFor({ timeout: 10_000 });
    const ms = performance.now() - start;
    assert.ok(ms < 5000, `it took ${Math.round(ms)} ms`);
    const state = page
      .getByRole('row', { name: /^edge-3\b/ })
      .getByRole('cell')
      .first();
    await state.getByText(/^(?:silent|gone)$/).waitFor();
    assert.deepEqual(await window.violations(), []);

    await cluster.node(3).start();
    await gone.waitFor({ state: 'detached', timeout: 30_000 });
  });

  test('a console that dies is noticed, and one that returns is found again', async () => {
    await using window = await browser.open();
    const { page } = window;
    await signIn(window, cluster.node(2));
    await page.getByText('live', { exact: true }).waitFor();
    await page.getByRole('figure', { name: /^Mail per second/ }).waitFor();
    const [program] = cluster.node(2).programs.values();
    await program?.kill();
    await page.getByText('This page has lost its console').waitFor({ timeout: 10_000 });
    await page.getByText(/^no news for/).waitFor();
    assert.deepEqual(await window.violations(), []);
    await cluster.node(2).start();
    // Sessions are in memory: who was signed in there signs in again, at the same address.
    await page.getByText('Your session has ended.').waitFor({ timeout: 40_000 });
    window.problems.length = 0;
  });
});
