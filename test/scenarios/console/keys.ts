import assert from 'node:assert/strict';
import { button, dialog, look, visit, type Walk } from './walk.ts';

/** Keys and their rotation. */

export async function keys(walk: Walk): Promise<void> {
  const { page, cluster } = walk;
  await visit(walk, 'Keys');
  await page.getByRole('row', { name: /example\.com s1 active/ }).waitFor();
  await look(walk, 'keys');
  await button(page, 'Rotate keys').click();
  await dialog(page).getByLabel('Selector of the new key').fill('s2');
  await dialog(page).getByRole('button', { name: 'Begin the rotation' }).click();
  await page.getByRole('heading', { name: 'Keys of example.com' }).waitFor();
  const rotation = page.locator('.card', { hasText: 'Rotation' }).first();
  await rotation.getByText('done', { exact: true }).first().waitFor();
  for (const n of [1, 2, 3]) {
    const { keys: known } = await cluster.node(n).client('credential-store')['key-list']({ domain: 'example.com' });
    assert.equal(known.find(({ selector }) => selector === 's2')?.state, 'active', `at edge-${n}`);
  }
  await look(walk, 'keys-of-domain');
  await page.getByRole('link', { name: 's2' }).first().click();
  await page.getByText('on 3 of 3: edge-1, edge-2 and edge-3').waitFor();
  await look(walk, 'key');
  await make(walk);
}

/** A key that waits for the operator, signs, and is revoked. */
async function make(walk: Walk): Promise<void> {
  const { page } = walk;
  await visit(walk, 'Keys');
  await button(page, 'Create a key').click();
  await dialog(page).getByLabel('Selector').fill('extra');
  await dialog(page).getByLabel('Algorithm').selectOption('ed25519');
  await dialog(page).getByLabel('Wait for me before it signs').check();
  await dialog(page).getByRole('button', { name: 'Create the key' }).click();
  await dialog(page).waitFor({ state: 'hidden' });
  await page.goto('/keys/example.com/extra');
  await button(page, 'Activate').click();
  await button(page, 'Revoke').click();
  await look(walk, 'key-to-revoke');
  await dialog(page).getByRole('textbox').fill('extra');
  await dialog(page).getByRole('button', { name: 'Revoke the key' }).click();
  await dialog(page).waitFor({ state: 'hidden' });
}
