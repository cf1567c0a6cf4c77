import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { UserEntry } from '#shared/directory/entries.ts';
import { SiteInBrowser } from '#test/kit/browser/console.ts';
import type { ConsoleClient } from '#test/kit/console/client.ts';
import { ConsoleSite } from '#test/kit/console/site.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** People in a browser and by the API, on a node whose directory has a users file beside that of the cluster. */

const FIRST = 'the first password of zoe';
const SECOND = 'the second password of zoe';

describe('people', { ...needs('chromium'), timeout: 180_000 }, () => {
  const console = new SiteInBrowser(() => ConsoleSite.start({ people: PEOPLE }));

  const users = async (): Promise<UserEntry[]> =>
    (JSON.parse(await console.site.node.sealpost('users', 'list', '--cluster', '--json')) as { users: UserEntry[] })
      .users;
  const zoe = async (): Promise<UserEntry | undefined> => (await users()).find(({ name }) => name === 'zoe');
  /** Whether policy finds the password right: who has no entry in `console.people` is refused either way. */
  const enters = async (user: string, password: string): Promise<number> => {
    using client = console.site.client();
    return (await client.signIn({ user, password })).status;
  };
  const program = (token: string): ConsoleClient => {
    const client = console.site.client();
    client.token = token;
    return client;
  };

  test('a user is added, gets another password, other addresses and an app password, and is removed', async () => {
    await using window = await console.open('/people');
    const { page } = window;
    await page.getByRole('row', { name: /alice .*alice@example\.com .*users file/ }).waitFor();
    assert.equal(await page.getByRole('link', { name: 'alice', exact: true }).count(), 0, 'not changed here');
    await window.checkScreens();
    await page.getByRole('button', { name: 'Add a user' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('This is the first entry of the directory.').waitFor();
    await dialog.getByLabel('Name').fill('zoe');
    await dialog.getByLabel('Password').fill(FIRST);
    await dialog.getByLabel('Addresses').fill('not an address');
    await dialog.getByRole('button', { name: 'Add the user' }).click();
    await dialog.getByText(/is not a mail address/).waitFor();
    await dialog.getByLabel('Addresses').fill('zoe@example.com\nzoe.z@example.com');
    await window.check();
    await dialog.getByRole('button', { name: 'Add the user' }).click();
    await page.getByRole('link', { name: 'zoe', exact: true }).click();
    assert.deepEqual((await zoe())?.addresses, ['zoe@example.com', 'zoe.z@example.com']);
    await waitFor(async () => (await enters('zoe', FIRST)) === 200, { what: 'the password to be right' });

    await page.getByRole('button', { name: 'Set a password' }).click();
    await dialog.getByLabel('New password').fill(SECOND);
    await dialog.getByRole('button', { name: 'Set the password' }).click();
    await waitFor(async () => (await enters('zoe', SECOND)) === 200, { what: 'the new password to be right' });
    assert.equal(await enters('zoe', FIRST), 401);

    await page.getByRole('button', { name: 'Change addresses' }).click();
    await dialog.getByLabel('Addresses').fill('zoe@example.com');
    await dialog.getByRole('button', { name: 'Change the addresses' }).click();
    await waitFor(async () => (await zoe())?.addresses.length === 1, { what: 'one address' });

    await page.getByRole('button', { name: 'Make an app password' }).click();
    await dialog.getByLabel('Name').fill('phone');
    await dialog.getByRole('button', { name: 'Make the password' }).click();
    await dialog.getByText('It is shown only now.').waitFor();
    const text = await dialog.locator('pre').innerText();
    assert.match(text, /^([a-z2-7]{4}-){5}[a-z2-7]{4}$/);
    assert.equal((await zoe())?.appPasswords[0]?.tag, text.slice(0, 4));
    await window.check();
    await dialog.getByRole('button', { name: 'I have it' }).click();
    await page.getByRole('rowheader', { name: 'phone' }).waitFor();
    await window.checkScreens();
    await page.getByRole('button', { name: 'Revoke the app password phone' }).click();
    await dialog.getByRole('button', { name: 'Revoke the app password' }).click();
    await page.getByText('No app passwords').waitFor();
    assert.deepEqual((await zoe())?.appPasswords, []);

    await page.getByRole('button', { name: 'Remove' }).click();
    await dialog.getByRole('textbox').fill('zoe');
    await dialog.getByRole('button', { name: 'Remove the user' }).click();
    await page.getByRole('heading', { name: 'People' }).waitFor();
    assert.equal(await zoe(), undefined);
    const log = [...console.site.node.programs.values()].map(({ output }) => output).join('');
    for (const secret of [FIRST, SECOND, text]) assert.ok(!log.includes(secret), 'no password is in the log');
  });

  test('aliases, groups and locks are listed, and a lock is lifted', async () => {
    await console.site.node.sealpost('aliases', 'add', 'info@example.com', 'alice@example.com');
    await console.site.node.sealpost('groups', 'add', 'staff', 'alice@example.com');
    await Promise.all(Array.from({ length: 12 }, () => enters('<img src=x onerror=alert(1)>', 'wrong')));
    await using window = await console.open('/people');
    const { page } = window;
    await page.getByText('mallory@example.com').waitFor();
    await window.checkScreens();
    await page.goto('/people/lists');
    await page.getByText('info@example.com').first().waitFor();
    await page.getByText('staff').first().waitFor();
    await window.checkScreens();
    await page.goto('/people/locks');
    await page.getByRole('rowheader', { name: '<img src=x onerror=alert(1)>' }).first().waitFor();
    await window.checkScreens();
    const before = await locks();
    assert.ok(before.length > 0);
    await page
      .getByRole('button', { name: /^Lift the lock of <img/ })
      .first()
      .click();
    await page.getByRole('dialog').getByRole('button', { name: 'Lift the lock' }).click();
    await waitFor(async () => (await locks()).length < before.length, { what: 'the lock to be lifted' });
  });
  const locks = async (): Promise<unknown[]> =>
    (JSON.parse(await console.site.node.sealpost('locks', 'list', '--json')) as { locks: unknown[] }).locks;

  test('a viewer has nothing to press', async () => {
    await using window = await console.open('/people', { role: 'viewer' });
    const { page } = window;
    await page.getByText('alice@example.com').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Add a user' }).count(), 0);
  });

  test('the administrator of a domain sees and changes its users alone, and none who may do more than she', async () => {
    using all = program(ALL);
    using hers = program(HERS);
    const add = (client: ConsoleClient, name: string, ...addresses: string[]): Promise<{ status: number }> =>
      client.post('/api/users', { name, password: 'a password for them', addresses });
    for (const [name, ...addresses] of [
      ['other', 'other@other.example'],
      ['both', 'both@example.com', 'both@other.example'],
      ['any', 'any@example.com', '*'],
      ['none'],
      ['root', 'root@example.com'],
    ] as const) {
      assert.equal((await add(all, name, ...addresses)).status, 200, name);
    }
    assert.equal((await add(hers, 'mine', 'mine@EXAMPLE.com')).status, 200);
    const refused = [
      ['x', 'x@other.example'],
      ['x', '*'],
      ['x', 'x@sub.example.com'],
      ['x', 'x@example.com', '@other.example'],
      ['x'],
      // Who may do everything in the console, by a name or by an address.
      ['Boss', 'boss.b@example.com'],
      ['x', 'chief@example.com'],
    ] as const;
    for (const [name, ...addresses] of refused) {
      assert.equal((await add(hers, name, ...addresses)).status, 403, `${name} ${addresses}`);
    }
    for (const name of ['other', 'both', 'any', 'none', 'root']) {
      const path = `/api/users/${name}`;
      const answers = [
        await hers.send(`${path}/password`, { method: 'PUT', body: { password: 'taken over' } }),
        await hers.send(`${path}/addresses`, { method: 'PUT', body: { addresses: ['a@example.com'], onBehalfOf: [] } }),
        await hers.post(`${path}/app-passwords`, { name: 'spy' }),
        await hers.send(`${path}/app-passwords/spy`, { method: 'DELETE' }),
        await hers.send(path, { method: 'DELETE' }),
      ];
      assert.deepEqual(
        answers.map(({ status }) => status),
        [403, 403, 403, 403, 403],
        name,
      );
    }
    const wider = { addresses: ['mine@example.com', 'chief@example.com'], onBehalfOf: [] };
    assert.equal((await hers.send('/api/users/mine/addresses', { method: 'PUT', body: wider })).status, 403);
    assert.equal((await hers.get('/api/users/other')).status, 403);
    const { users: seen } = (await hers.get('/api/users')).json as { users: { name: string }[] };
    assert.deepEqual(seen.map(({ name }) => name).toSorted(), ['alice', 'dora', 'mallory', 'mine', 'root', 'victor']);
    assert.equal((await hers.post('/api/locks/lift', { network: '127.0.0.0/8' })).status, 403);
    assert.equal((await hers.post('/api/locks/lift', { user: 'other' })).status, 403);
    assert.equal((await hers.post('/api/locks/lift', { user: 'mine' })).status, 200);
  });
});

const ALL = 'all-all-all-all-all-all';
const HERS = 'hers-hers-hers-hers-hers';
const PEOPLE = `people:
    - { user: zoe, role: viewer }
    - { user: boss, role: operator }
    - { user: chief@example.com, role: viewer }
    - { user: root, role: operator }
  tokens:
    - { name: all, token: ${ALL}, role: operator }
    - { name: hers, token: ${HERS}, role: operator, domains: [example.com] }`;
