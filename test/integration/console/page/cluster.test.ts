import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import type { TestWindow } from '#test/kit/browser/browser.ts';
import { consoleSection, SiteInBrowser, type Visit } from '#test/kit/browser/console.ts';
import { CopiesCluster } from '#test/kit/nodes/copies-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Three nodes with mail in a browser: what the page does with keys has been done on all of them, and everybody can read every page
 * of the navigation, on any screen.
 */

const ROLES: Record<string, Visit> = {
  'an operator': {},
  'a viewer': { role: 'viewer' },
  'an administrator of a domain': { domains: ['example.com'] },
};

describe('three nodes in a browser', { ...needs('chromium', 'nats-server'), timeout: 240_000 }, () => {
  const console = new SiteInBrowser(() => CopiesCluster.start({ sections: () => consoleSection(), load: 3 }));

  describe('keys of three nodes', () => {
    const keysOf = async (n: number): Promise<KeyStatus[]> =>
      (await console.site.node(n).client('credential-store')['key-list']({ domain: 'example.com' })).keys;
    const stateAt = async (n: number, selector: string): Promise<string | undefined> =>
      (await keysOf(n)).find((key) => key.selector === selector)?.state;

    test('a rotation is begun and watched to its end', async () => {
      await using window = await console.open('/keys');
      const { page } = window;
      await page.getByRole('row', { name: /example\.com s1 active/ }).waitFor();
      await page.getByRole('button', { name: 'Rotate keys' }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Selector of the new key').fill('s2');
      await window.check();
      await dialog.getByRole('button', { name: 'Begin the rotation' }).click();
      await page.getByRole('heading', { name: 'Keys of example.com' }).waitFor();
      await page
        .locator('.card', { hasText: 'Rotation' })
        .first()
        .getByText('done', { exact: true })
        .first()
        .waitFor({ timeout: 60_000 });
      assert.ok((await page.locator('.steps li').count()) > 2, 'its steps are there');
      await window.checkScreens();
      for (const n of [1, 2, 3]) {
        await waitFor(async () => (await stateAt(n, 's2')) === 'active', { what: `node ${n} to know that s2 signs` });
      }
      await page.getByRole('link', { name: 's2' }).click();
      await page.getByRole('heading', { name: 's2 of example.com' }).waitFor();
      await page.getByText('on 3 of 3: edge-1, edge-2 and edge-3').waitFor();
      await window.checkScreens();
    });

    test('a key is made, activated, revoked and deleted', async () => {
      await using window = await console.open('/keys', { node: 2 });
      const { page } = window;
      await page.getByRole('button', { name: 'Create a key' }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Selector').fill('extra');
      await dialog.getByLabel('Algorithm').selectOption('ed25519');
      await dialog.getByLabel('Wait for me before it signs').check();
      await dialog.getByRole('button', { name: 'Create the key' }).click();
      // Until it is done: leaving the page would end the request.
      await dialog.waitFor({ state: 'hidden' });
      await page.goto('/keys/example.com/extra');
      await page.getByRole('button', { name: 'Activate' }).click({ timeout: 60_000 });
      await waitFor(async () => (await stateAt(3, 'extra')) === 'active', { what: 'the key to sign' });
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
      await using window = await console.open('/keys/example.com', { node: 3 });
      const { page } = window;
      const schedules = async () =>
        (await console.site.node(1).client('credential-store')['schedule-list']({})).schedules;
      await page.getByRole('button', { name: 'Set a schedule' }).click();
      await page.getByRole('dialog').getByLabel('Every so many days').fill('30');
      await page.getByRole('dialog').getByRole('button', { name: 'Set the schedule' }).click();
      await page.getByText(/^Every 30 days at 03:00/).waitFor();
      await waitFor(async () => (await schedules())[0]?.days === 30, { what: 'the schedule' });
      await page.getByRole('button', { name: 'End it' }).click();
      await waitFor(async () => (await schedules()).length === 0, { what: 'the schedule to end' });
    });

    test('a viewer finds nothing to press, and a domain administrator of another domain no key', async () => {
      await using viewer = await console.open('/keys', { role: 'viewer', width: 380, height: 720 });
      await viewer.page.getByRole('link', { name: /s2 of example\.com/ }).waitFor();
      assert.equal(await viewer.page.getByRole('button', { name: /Create|Rotate/ }).count(), 0);
      await viewer.checkScreens();
      await using bounded = await console.open('/keys', { domains: ['example.org'], width: 380, height: 720 });
      await bounded.page.getByText('There are no keys yet').waitFor();
      await bounded.check();
      await bounded.page.goto('/keys/example.com/s2');
      await bounded.page.getByText(/is not a domain of yours/).waitFor();
      await bounded.check();
    });
  });

  describe('the pages of the navigation', () => {
    /** Titles of the navigation. */
    const titles = async ({ page }: TestWindow): Promise<string[]> => {
      await page.getByRole('heading', { level: 1, name: 'Overview', exact: true }).waitFor();
      return (await page.locator('nav[aria-label=Console] a').allTextContents()).map((text) => text.trim());
    };

    /** Open a page by its link, and wait until it has read what it shows. */
    const visit = async ({ page }: TestWindow, title: string): Promise<void> => {
      await page.getByRole('navigation', { name: 'Console' }).getByRole('link', { name: title, exact: true }).click();
      await page.getByRole('heading', { level: 1, name: title, exact: true }).waitFor();
      await page.getByText('Loading …').first().waitFor({ state: 'detached' });
      assert.equal(await page.getByText('This page cannot be shown').count(), 0, title);
    };

    test('can be used by everybody, in both themes and on a narrow screen', async () => {
      await using window = await console.open('/');
      const all = await titles(window);
      assert.ok(all.length >= 8, all.join());
      for (const title of all) {
        await visit(window, title);
        await window.checkScreens();
      }
    });

    for (const [who, visitor] of Object.entries(ROLES)) {
      test(`show nothing but answers to ${who}`, async () => {
        await using window = await console.open('/', { ...visitor, node: 2 });
        const { page } = window;
        const refused: string[] = [];
        page.on('response', (response) => {
          if (response.status() >= 400) refused.push(`${response.status()} ${new URL(response.url()).pathname}`);
        });
        for (const title of await titles(window)) {
          await visit(window, title);
          const alerts = await page.getByRole('alert').allInnerTexts();
          assert.deepEqual({ refused, alerts }, { refused: [], alerts: [] }, title);
        }
      });
    }
  });
});
