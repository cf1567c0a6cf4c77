import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { TestBrowser } from '#test/kit/browser/browser.ts';
import { consoleSection, signIn } from '#test/kit/browser/console.ts';
import { CopiesCluster } from '#test/kit/nodes/copies-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Keys in a browser, on three nodes with mail: what the page does has been done on all of them. */

describe('keys of three nodes', { ...needs('chromium', 'nats-server'), timeout: 240_000 }, () => {
  const undo = new AsyncDisposableStack();
  let cluster: CopiesCluster;
  let browser: TestBrowser;

  before(async () => {
    browser = undo.use(await TestBrowser.start());
    cluster = undo.use(await CopiesCluster.start({ sections: () => consoleSection() }));
    for (const load of cluster.loads('keys', 10)) undo.use(load).start();
  });
  after(() => undo.disposeAsync());

  const keysOf = async (n: number): Promise<KeyStatus[]> =>
    (await cluster.node(n).client('credential-store')['key-list']({ domain: 'example.com' })).keys;
  const stateAt = async (n: number, selector: string): Promise<string | undefined> =>
    (await keysOf(n)).find((key) => key.selector === selector)?.state;

  test('a rotation is begun and watched to its end', async () => {
    await using window = await browser.open();
    const { page } = window;
    const origin = await signIn(window, cluster.node(1));
    await page.goto(`${origin}/keys`);
    await page.getByRole('row', { name: /example\.com s1 active/ }).waitFor();
    assert.deepEqual(await window.violations(), []);
    await page.getByRole('button', { name: 'Rotate keys' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Selector of the new key').fill('s2');
    assert.deepEqual(await window.violations(), []);
    await dialog.getByRole('button', { name: 'Begin the rotation' }).click();
    await page.getByRole('heading', { name: 'Keys of example.com' }).waitFor();
    await page
      .locator('.card', { hasText: 'Rotation' })
      .first()
      .getByText('done', { exact: true })
      .first()
      .waitFor({ timeout: 60_000 });
    assert.ok((await page.locator('.steps li').count()) > 2, 'its steps are there');
    assert.deepEqual(await window.violations(), []);
    for (const n of [1, 2, 3]) {
      await waitFor(async () => (await stateAt(n, 's2')) === 'active', { what: `node ${n} to know that s2 signs` });
    }
    await page.getByRole('link', { name: 's2' }).click();
    await page.getByRole('heading', { name: 's2 of example.com' }).waitFor();
    await page.getByText('on 3 of 3: edge-1, edge-2 and edge-3').waitFor();
    assert.deepEqual(await window.violations(), []);
  });

  test('a key is made, activated, revoked and deleted', async () => {
    await using window = await browser.open({ theme: 'dark' });
    const { page } = window;
    const origin = await signIn(window, cluster.node(2));
    await page.goto(`${origin}/keys`);
    await page.getByRole('button', { name: 'Create a key' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Selector').fill('extra');
    await dialog.getByLabel('Algorithm').selectOption('ed25519');
    await dialog.getByLabel('Wait for me before it signs').check();
    await dialog.getByRole('button', { name: 'Create the key' }).click();
    await page.getByRole('link', { name: 'example.com' }).first().waitFor();
    await page.goto(`${origin}/keys/example.com/extra`);
    await page.getByRole('button', { name: 'Activate' }).click({ timeout: 60_000 });
    await waitFor(async () => (await stateAt(3, 'extra')) === 'active', { what: 'the key to sign' });
    assert.deepEqual(await window.violations(), []);
    await page.getByRole('button', { name: 'Revoke' }).click();
    const question = page.getByRole('dialog');
    const yes = question.getByRole('button', { name: 'Revoke the key' });
    await yes.click({ force: true });
    assert.equal(await stateAt(1, 'extra'), 'active', 'its name was not typed');
    await question.getByRole('textbox').fill('extra');
    await yes.click();
    await waitFor(async () => /^(retired|revoked|deleted)$/.test((await stateAt(1, 'extra')) ?? 'deleted'), {
      what: 'the key to be revoked',
    });
  });

  test('a schedule is set and ended', async () => {
    await using window = await browser.open();
    const { page } = window;
    const origin = await signIn(window, cluster.node(3));
    const schedules = async () => (await cluster.node(1).client('credential-store')['schedule-list']({})).schedules;
    await page.goto(`${origin}/keys/example.com`);
    await page.getByRole('button', { name: 'Set a schedule' }).click();
    await page.getByRole('dialog').getByLabel('Every so many days').fill('30');
    await page.getByRole('dialog').getByRole('button', { name: 'Set the schedule' }).click();
    await page.getByText(/^Every 30 days at 03:00/).waitFor();
    await waitFor(async () => (await schedules())[0]?.days === 30, { what: 'the schedule' });
    await page.getByRole('button', { name: 'End it' }).click();
    await waitFor(async () => (await schedules()).length === 0, { what: 'the schedule to end' });
  });

  test('a viewer finds nothing to press, and a domain administrator of another domain no key', async () => {
    for (const options of [
      ['--role', 'viewer'],
      ['--domains', 'example.org'],
    ]) {
      await using window = await browser.open({ width: 380, height: 720 });
      const { page } = window;
      const origin = await signIn(window, cluster.node(1), ...options);
      await page.goto(`${origin}/keys`);
      if (options[0] === '--role') {
        await page.getByRole('link', { name: /s2 of example\.com/ }).waitFor();
        assert.equal(await page.getByRole('button', { name: /Create|Rotate/ }).count(), 0);
      } else {
        await page.getByText('There are no keys yet').waitFor();
        await page.goto(`${origin}/keys/example.com/s2`);
        await page.getByText(/is not a domain of yours/).waitFor();
      }
      assert.equal(await window.sideways(), 0);
      assert.deepEqual(await window.violations(), []);
    }
  });
});
