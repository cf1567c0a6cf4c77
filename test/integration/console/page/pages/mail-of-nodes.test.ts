import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { TestBrowser, type TestWindow } from '#test/kit/browser/browser.ts';
import { consoleSection, signIn } from '#test/kit/browser/console.ts';
import { sendMail } from '#test/kit/console/mail-site.ts';
import { CopiesCluster } from '#test/kit/nodes/copies-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Mail of three nodes on one page: found and changed wherever it is, and missing by name where a node is gone. */

describe('the mail of three nodes', { ...needs('chromium', 'nats-server'), timeout: 240_000 }, () => {
  const undo = new AsyncDisposableStack();
  let cluster: CopiesCluster;
  let browser: TestBrowser;

  before(async () => {
    browser = undo.use(await TestBrowser.start());
    cluster = undo.use(await CopiesCluster.start({ sections: () => consoleSection() }));
  });
  after(() => undo.disposeAsync());

  async function open(window: TestWindow, node: number, path: string): Promise<Page> {
    const { page } = window;
    const origin = await signIn(window, cluster.node(node));
    await page.goto(`${origin}${path}`);
    return page;
  }

  const send = (node: number, to: string): Promise<string> =>
    waitFor(() => sendMail(cluster.node(node).port, { to: [to] }).catch(() => undefined), { what: `edge-${node}` });

  test('is found from any of them, held on the node that has it, and missing by name when a node dies', async () => {
    await cluster.node(1).sealpost('queue', 'suspend', '--domain', 'paused.test');
    const ids = [await send(1, 'bob@paused.test'), await send(2, 'bob@paused.test'), await send(3, 'bob@paused.test')];
    await using window = await browser.open();
    const page = await open(window, 1, '/messages?q=paused.test');
    await page.getByText('3 found.').waitFor();
    for (const id of ids) await page.getByRole('checkbox', { name: `Select message ${id}` }).check();
    await page.getByRole('group', { name: 'Selected messages' }).getByRole('button', { name: 'Hold' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Hold' }).click();
    await page.getByText('3 messages held.').waitFor();
    for (const id of ids) {
      const told = JSON.parse(await cluster.node(3).sealpost('why', id, '--json'));
      assert.equal(told.cause, 'held-by-operator', id);
    }
    await page.goto(new URL('/destinations/destination/paused.test', page.url()).href);
    await page.getByRole('button', { name: 'Release …' }).click();
    await page.getByText(/edge-1: 1, edge-2: 1 and edge-3: 1/).waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Release: 3 messages' }).click();
    await page.getByText('3 messages released.').waitFor();
    assert.deepEqual(await window.violations(), []);

    const [program] = cluster.node(3).programs.values();
    await program?.kill();
    await page.goto(new URL('/messages?q=paused.test', page.url()).href);
    await page.getByText(/^The mail of edge-3 is missing here/).waitFor({ timeout: 30_000 });
    await page.getByText(/^[23] found/).waitFor();
    assert.deepEqual(await window.violations(), []);
    await page.goto(new URL('/destinations', page.url()).href);
    await page.getByText(/^The queues of edge-3 are not counted/).waitFor({ timeout: 30_000 });
  });
});
