import { button, dialog, look, settled, visit, type Walk } from './walk.ts';

/** Users, aliases and groups. */

export async function people(walk: Walk): Promise<void> {
  const { page } = walk;
  await visit(walk, 'People');
  await look(walk, 'people-empty');
  await button(page, 'Add a user').first().click();
  await dialog(page).getByLabel('Name').fill('zoe');
  await dialog(page).getByLabel('Password').fill('a password of some length');
  await dialog(page).getByLabel('Addresses').fill('zoe@example.com');
  await dialog(page).getByRole('button', { name: 'Add the user' }).click();
  await page.getByRole('link', { name: 'zoe', exact: true }).click();
  await button(page, 'Make an app password').click();
  await dialog(page).getByLabel('Name').fill('phone');
  await dialog(page).getByRole('button', { name: 'Make the password' }).click();
  await dialog(page).getByRole('button', { name: 'I have it' }).click();
  await page.getByRole('rowheader', { name: 'phone' }).waitFor();
  await look(walk, 'user');
  await blocks(walk);
  await lists(walk);
  await page.goto('/people/users/zoe');
  await button(page, 'Remove').click();
  await dialog(page).getByRole('textbox').fill('zoe');
  await dialog(page).getByRole('button', { name: 'Remove the user' }).click();
  await page.getByRole('link', { name: 'zoe', exact: true }).waitFor({ state: 'detached' });
  await page.goto('/people/locks');
  await settled(page);
  await look(walk, 'people-locks');
}

/** A user who is blocked, listed or not, and let in again. */
async function blocks(walk: Walk): Promise<void> {
  const { page } = walk;
  await button(page, 'Block').click();
  await dialog(page).getByLabel('Reason').fill('a stolen password');
  await dialog(page).getByRole('button', { name: 'Block the user' }).click();
  await page.getByText('a stolen password').waitFor();
  await look(walk, 'user-blocked');
  await page.getByRole('button', { name: 'Unblock' }).click();
  await dialog(page).getByRole('button', { name: 'Unblock the user' }).click();
  await button(page, 'Block').waitFor();
}

/** Aliases and groups that come and go. */
async function lists(walk: Walk): Promise<void> {
  const { page } = walk;
  await page.goto('/people/lists');
  await settled(page);
  await button(page, 'Add an alias').click();
  await dialog(page).getByLabel('Address').fill('sales@example.com');
  await dialog(page).getByLabel('Leads to').fill('zoe@example.com');
  await dialog(page).getByRole('button', { name: 'Add the alias' }).click();
  await page.getByText('sales@example.com').first().waitFor();
  await button(page, 'Add a group').click();
  await dialog(page).getByLabel('Name').fill('the staff');
  await dialog(page).getByLabel('Addresses').fill('staff@example.com');
  await dialog(page).getByLabel('Members').fill('zoe');
  await dialog(page).getByRole('button', { name: 'Add the group' }).click();
  await page.getByText('the staff', { exact: true }).first().waitFor();
  await look(walk, 'people-lists');
  for (const [what, name] of [
    ['alias', 'sales@example.com'],
    ['group', 'the staff'],
  ]) {
    await button(page, `Remove the ${what} ${name}`).first().click();
    await dialog(page)
      .getByRole('button', { name: `Remove the ${what}` })
      .click();
  }
  await page.getByText('No aliases').waitFor();
  await page.getByText('No groups').waitFor();
}
