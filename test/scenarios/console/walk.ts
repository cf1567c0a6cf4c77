import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Locator, Page } from 'playwright-core';
import type { TestWindow } from '#test/kit/browser/browser.ts';
import type { CopiesCluster } from '#test/kit/nodes/copies-cluster.ts';

/** What the steps of a walk through the console have in common. */

export const FOLDER = process.env['SEALPOST_SCREENSHOTS'];
const SCREENS = [
  { theme: 'light', width: 1280 },
  { theme: 'dark', width: 1280 },
  { theme: 'dark', width: 380 },
  { theme: 'light', width: 380 },
] as const;
/** `shots`: views that were looked at. */
export type Walk = { cluster: CopiesCluster; window: TestWindow; page: Page; shots: number };

export const dialog = (page: Page): Locator => page.getByRole('dialog');
export const button = (page: Page, name: string): Locator =>
  page.getByRole('main').getByRole('button', { name, exact: true });

export async function why({ cluster }: Pick<Walk, 'cluster'>, id: string): Promise<{ cause: string }> {
  return JSON.parse(await cluster.node(3).sealpost('why', id, '--json'));
}

export async function visit({ page }: Pick<Walk, 'page'>, title: string): Promise<void> {
  await page.getByRole('navigation', { name: 'Console' }).getByRole('link', { name: title, exact: true }).click();
  await page.getByRole('heading', { level: 1, name: title, exact: true }).waitFor();
  await settled(page);
}

export async function settled(page: Page): Promise<void> {
  await page.getByText('Loading …').first().waitFor({ state: 'detached' });
  assert.equal(await page.getByText('This page cannot be shown').count(), 0);
}

/** On every screen, and a picture of each where there is a folder for them (`SEALPOST_SCREENSHOTS`). */
export async function look(walk: Pick<Walk, 'window' | 'page' | 'shots'>, name: string): Promise<void> {
  const { page, window } = walk;
  for (const { theme, width } of SCREENS) {
    await page.emulateMedia({ colorScheme: theme });
    await page.setViewportSize({ width, height: 900 });
    const screen = `${name.toLowerCase().replaceAll(/\W+/g, '-')}-${theme}-${width}`;
    if (FOLDER !== undefined) {
      await mkdir(FOLDER, { recursive: true });
      await page.screenshot({ path: join(FOLDER, `${screen}.png`), fullPage: true });
    }
    await window.check(screen);
    walk.shots++;
  }
  await page.setViewportSize({ width: 1280, height: 900 });
}
