import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { TestBrowser, type TestWindow } from '#test/kit/browser/browser.ts';
import { consoleSection, signIn } from '#test/kit/browser/console.ts';
import { CopiesCluster } from '#test/kit/nodes/copies-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';

/** Every page of the navigation beside three nodes with mail: whether everybody can read it, on any screen. */

const SCREENS = [
  { theme: 'light', width: 1280 },
  { theme: 'dark', width: 1280 },
  { theme: 'light', width: 380 },
  { theme: 'dark', width: 380 },
] as const;

/** What a session may be, as options of `sealpost console link`. */
const ROLES = {
  'an operator': [],
  'a viewer': ['--role', 'viewer'],
  'an administrator of a domain': ['--domains', 'example.com'],
};

describe('the pages of the console', { ...needs('chromium', 'nats-server'), timeout: 400_000 }, () => {
  const undo = new AsyncDisposableStack();
  let cluster: CopiesCluster;
  let browser: TestBrowser;

  before(async () => {
    browser = undo.use(await TestBrowser.start());
    cluster = undo.use(await CopiesCluster.start({ sections: () => consoleSection() }));
    for (const load of cluster.loads('pages', 6)) undo.use(load).start();
  });
  after(() => undo.disposeAsync());

  /** Titles of the navigation, folded or not. */
  const titles = async ({ page }: TestWindow): Promise<string[]> =>
    (await page.locator('nav[aria-label=Console] a').allTextContents()).map((text) => text.trim());

  /** Open a page by its link, and wait until it has read what it shows. */
  const visit = async ({ page }: TestWindow, title: string): Promise<void> => {
    const link = page.getByRole('navigation', { name: 'Console' }).getByRole('link', { name: title, exact: true });
    if (!(await link.isVisible())) await page.getByRole('button', { name: 'Navigation' }).click();
    await link.click();
    await page.getByRole('heading', { level: 1, name: title, exact: true }).waitFor();
    await page.getByText('Loading …').first().waitFor({ state: 'detached' });
    assert.equal(await page.getByText('This page cannot be shown').count(), 0, title);
  };

  for (const screen of SCREENS) {
    test(`can be used by everybody, ${screen.theme} and ${screen.width} px wide`, async () => {
      await using window = await browser.open(screen);
      await signIn(window, cluster.node(1));
      const all = await titles(window);
      assert.ok(all.length >= 8, all.join());
      for (const title of all) {
        await visit(window, title);
        assert.deepEqual(await window.violations(), [], title);
        assert.equal(await window.sideways(), 0, title);
      }
    });
  }

  for (const [who, options] of Object.entries(ROLES)) {
    test(`show nothing but answers to ${who}`, async () => {
      await using window = await browser.open();
      const { page } = window;
      const refused: string[] = [];
      page.on('response', (response) => {
        if (response.status() >= 400) refused.push(`${response.status()} ${new URL(response.url()).pathname}`);
      });
      await signIn(window, cluster.node(2), ...options);
      for (const title of await titles(window)) {
        await visit(window, title);
        const alerts = await page.getByRole('alert').allInnerTexts();
        assert.deepEqual({ refused, alerts }, { refused: [], alerts: [] }, title);
      }
    });
  }
});
