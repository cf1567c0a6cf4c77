import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DirectoryEntry } from '#shared/directory/entries.ts';
import { SiteInBrowser } from '#test/kit/browser/console.ts';
import { ConsoleSite, PASSWORD } from '#test/kit/console/site.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

const USERS = [
  ['zoe', 'zoe@example.com'],
  ['other', 'other@other.example'],
  ['both', 'both@example.com', 'both@other.example'],
] as const;

/** Blocks, aliases and groups in a browser and by the API, as everybody who may change some of them or none. */

describe('blocks, aliases and groups', { ...needs('chromium'), timeout: 240_000 }, () => {
  const console = new SiteInBrowser(async () => {
    const site = await ConsoleSite.start();
    using robot = site.program('robot');
    for (const [name, ...addresses] of USERS) {
      const made = await robot.post('/api/users', { name, password: PASSWORD, addresses });
      assert.equal(made.status, 200, made.text);
    }
    return site;
  });

  const listed = async (what: 'aliases' | 'groups'): Promise<DirectoryEntry[]> =>
    (JSON.parse(await console.site.node.sealpost(what, 'list', '--json')) as Record<typeof what, DirectoryEntry[]>)[
      what
    ];
  /** Whether policy lets the user in: who has no entry in `console.people` is refused otherwise. */
  const blocks = async (): Promise<string[]> => {
    const { users } = JSON.parse(await console.site.node.sealpost('users', 'list', '--cluster', '--json')) as {
      users: { name: string; blocked?: { reason?: string } }[];
    };
    return users.flatMap(({ name, blocked }) => (blocked ? [`${name} ${blocked.reason ?? ''}`.trim()] : []));
  };

  test('a user is blocked and unblocked, listed or not', async () => {
    await using window = await console.open('/people/users/zoe');
    const { page } = window;
    const dialog = page.getByRole('dialog');
    await page.getByRole('button', { name: 'Block', exact: true }).click();
    await dialog.getByText('Mail for the user still arrives').waitFor();
    await dialog.getByLabel('Reason').fill('<b>stolen</b> password');
    await window.check();
    await dialog.getByRole('button', { name: 'Block the user' }).click();
    await page.getByText('<b>stolen</b> password').waitFor();
    await window.check();
    assert.deepEqual(await blocks(), ['zoe <b>stolen</b> password']);

    await page.goto('/people');
    await page.getByRole('row', { name: /zoe .*blocked/ }).waitFor();
    await page.getByRole('button', { name: 'Block by name' }).click();
    await dialog.getByLabel('Name').fill('ulla of LDAP');
    await dialog.getByRole('button', { name: 'Block the user' }).click();
    await page.getByRole('rowheader', { name: 'ulla of LDAP' }).waitFor();
    await window.check();
    await page.getByRole('button', { name: 'Unblock ulla of LDAP' }).click();
    await dialog.getByRole('button', { name: 'Unblock the user' }).click();
    await page.getByRole('rowheader', { name: 'ulla of LDAP' }).waitFor({ state: 'detached' });

    await page.getByRole('link', { name: 'zoe', exact: true }).click();
    await page.getByRole('button', { name: 'Unblock' }).click();
    await dialog.getByRole('button', { name: 'Unblock the user' }).click();
    await page.getByRole('button', { name: 'Block', exact: true }).waitFor();
    assert.deepEqual(await blocks(), []);
  });

  test('aliases and groups are added, changed and removed, with the checks of the command line', async () => {
    await using window = await console.open('/people/lists', { theme: 'dark', width: 380, height: 720 });
    const { page } = window;
    const dialog = page.getByRole('dialog');
    await page.getByRole('button', { name: 'Add an alias' }).click();
    await dialog.getByLabel('Address').fill('sales@example.com');
    await dialog.getByLabel('Leads to').fill('nowhere');
    await dialog.getByRole('button', { name: 'Add the alias' }).click();
    await dialog.getByText(/"nowhere" is not a mail address/).waitFor();
    await window.check();
    await dialog.getByLabel('Leads to').fill('zoe@example.com\npartner@far.test');
    await dialog.getByRole('button', { name: 'Add the alias' }).click();
    await page.getByText('zoe@example.com, partner@far.test').first().waitFor();
    await window.check();
    await page.getByRole('button', { name: 'Change the alias sales@example.com' }).first().click();
    await dialog.getByLabel('Leads to').fill('zoe@example.com');
    await dialog.getByRole('button', { name: 'Change the alias' }).click();
    await waitFor(async () => JSON.stringify(await listed('aliases')).includes('"targets":["zoe@example.com"]'), {
      what: 'the change of the alias',
    });

    await page.getByRole('button', { name: 'Add a group' }).click();
    await dialog.getByLabel('Name').fill('the staff');
    await dialog.getByLabel('Addresses').fill('staff@example.com');
    await dialog.getByLabel('Members').fill('zoe\nnobody known');
    await dialog.getByRole('button', { name: 'Add the group' }).click();
    await dialog.getByText(/nobody known is neither a user nor a group/i).waitFor();
    await dialog.getByLabel('Members').fill('zoe\nguest@far.test');
    await dialog.getByRole('button', { name: 'Add the group' }).click();
    await page.getByText('the staff', { exact: true }).first().waitFor();
    await window.check();
    await page.getByRole('button', { name: 'Change the group the staff' }).first().click();
    await dialog.getByLabel('Members').fill('guest@far.test\nnobody known');
    await dialog.getByRole('button', { name: 'Change the group' }).click();
    await dialog.getByText(/nobody known is neither a user nor a group/i).waitFor();
    await dialog.getByLabel('Members').fill('guest@far.test');
    await dialog.getByRole('button', { name: 'Change the group' }).click();
    await waitFor(async () => JSON.stringify(await listed('groups')).includes('"members":["guest@far.test"]'), {
      what: 'the change of the group',
    });
    for (const [what, name] of [
      ['alias', 'sales@example.com'],
      ['group', 'the staff'],
    ]) {
      await page
        .getByRole('button', { name: `Remove the ${what} ${name}` })
        .first()
        .click();
      await dialog.getByRole('button', { name: `Remove the ${what}` }).click();
    }
    await page.getByText('No groups').waitFor();
    await page.getByText('No aliases').waitFor();
    assert.deepEqual([await listed('aliases'), await listed('groups')], [[], []]);
  });

  test('a viewer has nothing to press', async () => {
    await console.site.node.sealpost('aliases', 'add', 'seen@example.com', 'zoe@example.com');
    await using window = await console.open('/people/lists', { role: 'viewer' });
    const { page } = window;
    await page.getByText('seen@example.com').first().waitFor();
    await window.check();
    assert.equal(await page.getByRole('button', { name: /alias|group/ }).count(), 0);
    await page.goto('/people/users/zoe');
    await page.getByText('zoe@example.com').first().waitFor();
    assert.equal(await page.getByRole('button', { name: /Block/ }).count(), 0);
  });

  test('the administrator of a domain changes what has addresses of it alone, and of nobody whom she may not change', async () => {
    using hers = console.site.program('ours');
    using robot = console.site.program('robot');
    const put = async (path: string, body: object) => (await hers.send(`/api/${path}`, { method: 'PUT', body })).status;
    const post = async (path: string, body: object) => (await hers.post(`/api/${path}`, body)).status;
    const drop = async (path: string) => (await hers.send(`/api/${path}`, { method: 'DELETE' })).status;
    const to = (address: string) => ({ address, targets: ['anywhere@far.test'] });

    assert.equal(await post('aliases', to('news@EXAMPLE.com')), 200);
    assert.equal(await put('aliases/news@example.com', { targets: ['x@other.example', 'zoe@example.com'] }), 200);
    // Of another domain; of a user who has addresses there too; of one who may do more in the console.
    for (const address of ['news@other.example', 'news@sub.example.com', 'both@example.com', 'BOTH@example.com']) {
      assert.equal(await post('aliases', to(address)), 403, address);
    }
    // Mail to a tag of that user would be led away as well.
    for (const address of ['both+link@example.com', '"both"@example.com'])
      assert.equal(await post('aliases', to(address)), 403, address);
    assert.equal(await post('aliases', to('zoe+link@example.com')), 200);
    assert.equal(await drop('aliases/zoe+link@example.com'), 200);
    assert.equal((await robot.post('/api/aliases', to('info@other.example'))).status, 200);
    assert.equal((await robot.post('/api/aliases', to('both@example.com'))).status, 200);
    for (const address of ['info@other.example', 'both@example.com']) {
      assert.equal(await put(`aliases/${address}`, { targets: ['zoe@example.com'] }), 403, address);
      assert.equal(await drop(`aliases/${address}`), 403, address);
    }
    assert.equal(await drop('aliases/news@example.com'), 200);

    const group = (name: string, addresses: string[], members: string[] = ['x@far.test']) => ({
      ...{ name, addresses, members },
    });
    assert.equal(await post('groups', group('mine', ['mine@example.com'], ['zoe', 'x@other.example'])), 200);
    assert.equal(await post('groups', group('none', [])), 403);
    assert.equal(await post('groups', group('wide', ['a@example.com', 'a@other.example'])), 403);
    assert.equal(await post('groups', group('of-both', ['both@example.com'])), 403);
    // Whether there is such a user or not.
    for (const member of ['other', 'nobody']) {
      assert.equal(await post('groups', group('spy', ['spy@example.com'], [member])), 403, member);
    }
    const { addresses, members } = group('mine', ['mine@example.com'], ['zoe', 'other']);
    assert.equal(await put('groups/mine', { addresses, members }), 403);
    assert.equal(await put('groups/mine', { addresses: [], members: ['zoe'] }), 403);
    assert.equal(await put('groups/mine', { addresses, members: ['zoe'] }), 200);
    for (const one of [group('theirs', ['theirs@other.example']), group('internal', [])]) {
      assert.equal((await robot.post('/api/groups', one)).status, 200);
      assert.equal(await put(`groups/${one.name}`, { addresses: ['a@example.com'], members: ['zoe'] }), 403);
      assert.equal(await drop(`groups/${one.name}`), 403);
    }
    const seen = (await hers.get('/api/lists')).json as { aliases: object[]; groups: { name: string }[] };
    assert.deepEqual(
      seen.groups.map(({ name }) => name),
      ['mine'],
    );
    assert.equal(await drop('groups/mine'), 200);

    assert.equal(await put('blocks/zoe', { reason: 'left' }), 200);
    for (const name of ['other', 'both']) {
      assert.equal(await put(`blocks/${name}`, {}), 403, name);
      assert.equal((await robot.send(`/api/blocks/${name}`, { method: 'PUT', body: {} })).status, 200);
      assert.equal(await drop(`blocks/${name}`), 403, name);
    }
    // Of the users file, and of nobody: those are for operators of all domains.
    assert.equal(await put('blocks/alice', {}), 404);
    // A block of a user of LDAP, say: with a user of that name she could lift it.
    assert.equal((await robot.send('/api/blocks/ulla', { method: 'PUT', body: {} })).status, 200);
    const ulla = { name: 'Ulla', password: PASSWORD, addresses: ['ulla@example.com'] };
    assert.equal(await post('users', ulla), 403);
    assert.equal((await robot.send('/api/blocks/ulla', { method: 'DELETE' })).status, 200);
    assert.equal(await post('users', ulla), 200);
    assert.equal(await drop('users/ulla'), 200);
    const users = (await hers.get('/api/users')).json as { users: { name: string; blocked?: object }[]; blocked: [] };
    assert.deepEqual(
      users.users.flatMap(({ name, blocked }) => (blocked === undefined ? [] : [name])),
      ['zoe'],
    );
    assert.equal(await drop('blocks/zoe'), 200);
    assert.equal(await drop('blocks/zoe'), 404);
    for (const name of ['other', 'both']) {
      assert.equal((await robot.send(`/api/blocks/${name}`, { method: 'DELETE' })).status, 200);
    }
    const audit = await console.site.node.sealpost('audit');
    assert.match(audit, /alias-set .*news@example\.com/);
    assert.match(audit, /group-set .*mine/);
    assert.match(audit, /user-block .*zoe: left/);
  });

  test('the console signs out who is blocked, and signs nobody in who is', async () => {
    using robot = console.site.program('robot');
    using victor = await console.site.person('victor');
    assert.equal((await victor.get('/api/session')).status, 200);
    assert.equal((await robot.send('/api/blocks/Victor', { method: 'PUT', body: {} })).status, 200);
    await waitFor(async () => (await victor.get('/api/session')).status === 401, { what: 'the end of the session' });
    assert.equal((await victor.signIn({ user: 'victor', password: PASSWORD })).status, 401);
    assert.equal((await robot.send('/api/blocks/victor', { method: 'DELETE' })).status, 200);
    await waitFor(async () => (await victor.signIn({ user: 'victor', password: PASSWORD })).status === 200, {
      what: 'the sign-in',
    });
  });

  test('what is no address, name or reason, and what has more fields, is refused', async () => {
    using robot = console.site.program('robot');
    const status = async (path: string, method: string, body: object) =>
      (await robot.send(`/api/${path}`, { method, body })).status;
    assert.equal(await status('aliases', 'POST', { address: 'no address', targets: ['a@b.test'] }), 422);
    assert.equal(await status('aliases', 'POST', { address: 'a@b.test', targets: [] }), 422);
    assert.equal(await status('aliases', 'POST', { address: 'a@b.test', targets: ['a@c.test'], more: 1 }), 422);
    assert.equal(await status('aliases/none@example.com', 'PUT', { targets: ['a@b.test'] }), 404);
    assert.equal(await status('groups', 'POST', { name: ' ', addresses: [], members: [] }), 422);
    assert.equal(await status('groups/none', 'PUT', { addresses: [], members: [] }), 404);
    assert.equal(await status('blocks/zoe', 'PUT', { reason: 'two\nlines' }), 422);
    using watcher = console.site.program('watcher');
    for (const [path, method] of [
      ['aliases/a@example.com', 'DELETE'],
      ['groups/x', 'DELETE'],
      ['blocks/zoe', 'DELETE'],
      ['blocks/zoe', 'PUT'],
    ] as const) {
      assert.equal((await watcher.send(`/api/${path}`, { method, body: {} })).status, 403, path);
    }
  });
});
