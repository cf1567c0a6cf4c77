import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { APP_PASSWORD, ConsoleSite, PASSWORD, TOKENS } from '#test/kit/console/site.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Signing in to the console of a node, each way, and what ends a session. */

let site: ConsoleSite;
before(async () => {
  site = await ConsoleSite.start({ config: 'authentication: { delay: 10ms }\n' });
});
after(async () => await site[Symbol.asyncDispose]());

type Session = { person: string; role: string; domains?: string[] };
type Problem = { error: { code: string; message: string } };

describe('each way', () => {
  test('by password: role and domains are those of console.people', async () => {
    for (const [user, role, domains] of [
      ['alice', 'operator', undefined],
      ['victor', 'viewer', undefined],
      ['dora', 'operator', ['example.com']],
    ] as const) {
      using browser = site.client();
      const answer = await browser.signIn({ user, password: PASSWORD });
      assert.equal(answer.status, 200, answer.text);
      const { person, ...session } = (await browser.get('/api/session')).json as Session;
      assert.deepEqual([person, session.role, session.domains], [user, role, domains]);
    }
  });

  test('by a token, in a browser and as a bearer token without a session', async () => {
    using browser = site.client();
    assert.equal((await browser.signIn({ token: TOKENS.watcher })).status, 200);
    assert.equal(((await browser.get('/api/session')).json as Session).person, 'token watcher');
    using program = site.program('robot');
    const { person, role } = (await program.get('/api/session')).json as Session;
    assert.deepEqual([person, role], ['token robot', 'operator']);
    assert.equal(program.cookie, undefined);
  });

  test('by a link, which is good once', async () => {
    const { url } = JSON.parse(await site.node.sealpost('console', 'link', '--role', 'viewer', '--json')) as {
      url: string;
    };
    assert.match(url, new RegExp(`^https://localhost:${site.port}/sign-in/link#[\\w-]{43}$`));
    using browser = site.client();
    assert.equal((await browser.signIn({ link: url })).status, 200);
    const { person, role } = (await browser.get('/api/session')).json as Session;
    assert.match(person, /, by link$/);
    assert.equal(role, 'viewer');
    using second = site.client();
    const again = await second.signIn({ link: url });
    assert.equal(again.status, 401);
    assert.match((again.json as Problem).error.message, /used before, or is older/);
  });

  test('a link for domains', async () => {
    const printed = await site.node.sealpost('console', 'link', '--domains', 'example.com,Other.Example');
    const [url = ''] = printed.split('\n');
    using browser = site.client();
    await browser.signIn({ link: url });
    assert.deepEqual(((await browser.get('/api/session')).json as Session).domains, ['example.com', 'other.example']);
  });

  test('the link is in the audit log, without its secret', async () => {
    const log = await site.node.sealpost('audit', '--json');
    assert.match(log, /link-create/);
    assert.match(log, /viewer for /);
  });
});

describe('refused', () => {
  test('a wrong password, an unknown user and a user without an entry get one answer', async () => {
    using browser = site.client();
    const answers = [
      await browser.signIn({ user: 'alice', password: 'wrong' }),
      await browser.signIn({ user: 'nobody', password: PASSWORD }),
      await browser.signIn({ user: 'mallory', password: PASSWORD }),
    ];
    assert.deepEqual(
      answers.map(({ status }) => status),
      [401, 401, 401],
    );
    assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
    assert.equal(browser.cookie, undefined);
  });

  test('an app password, which is for mail alone', async () => {
    using browser = site.client();
    assert.equal((await browser.signIn({ user: 'alice', password: APP_PASSWORD })).status, 401);
    await site.node.programs.get('all')?.waitForOutput(/"appPassword":"phone".*not signed in to the console/);
  });

  test('tokens, links and cookies that are none', async () => {
    using browser = site.client();
    assert.equal((await browser.signIn({ token: 'robot-robot-robot-robo' })).status, 401);
    const log = site.node.programs.get('all');
    await log?.waitForOutput(/"peer":"127\.0\.0\.1".*not signed in to the console/);
    assert.doesNotMatch(log?.output ?? '', /robot-robot/);
    assert.equal((await browser.signIn({ link: 'https://localhost/sign-in/link#AAAA' })).status, 401);
    browser.cookie = '__Host-sealpost=AAAA';
    assert.equal((await browser.get('/api/session')).status, 401);
    browser.cookie = undefined;
    browser.token = 'AAAA';
    const answer = await browser.get('/api/session');
    assert.equal(answer.status, 401);
    assert.match(answer.headers['www-authenticate'] ?? '', /^Bearer /);
  });

  test('what is no sign-in at all', async () => {
    using browser = site.client();
    for (const body of [
      {},
      { user: 'alice' },
      { token: 1 },
      { user: ['a'], password: 'b' },
      [],
      'null',
      { link: '' },
    ]) {
      assert.equal((await browser.post('/api/sign-in', body)).status, 422, JSON.stringify(body));
    }
  });
});

describe('the session', () => {
  test('its cookie is for this host, out of reach of scripts, and for no other site', async () => {
    using browser = site.client();
    const { headers } = await browser.signIn({ user: 'alice', password: PASSWORD });
    const [cookie = ''] = headers['set-cookie'] ?? [];
    assert.match(cookie, /^__Host-sealpost=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Strict$/);
  });

  test('ends by sign-out, with its streams', async () => {
    using browser = await site.person('alice');
    const { cookie } = browser;
    const ended = (async () => {
      for await (const _ of browser.events('overview', AbortSignal.timeout(30_000)));
    })();
    await waitFor(async () => (await browser.get('/api/session')).status === 200, { what: 'the session to be there' });
    assert.equal((await browser.post('/api/sign-out')).status, 200);
    assert.equal(browser.cookie, undefined);
    browser.cookie = cookie;
    assert.equal((await browser.get('/api/session')).status, 401);
    await ended;
  });

  test('a second sign-in of a browser ends the first session', async () => {
    using browser = await site.person('alice');
    const { cookie } = browser;
    await browser.signIn({ user: 'alice', password: PASSWORD });
    using old = site.client();
    old.cookie = cookie;
    assert.equal((await old.get('/api/session')).status, 401);
  });

  test('follows the entry in the configuration, and ends without it', async () => {
    using victor = await site.person('victor');
    using robot = site.program('robot');
    const file = site.node.configFile;
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('{ user: victor, role: viewer }', '{ user: victor, role: operator }'));
    await waitFor(async () => ((await victor.get('/api/session')).json as Session).role === 'operator', {
      what: 'victor to be an operator',
    });
    await writeFile(file, text.replace(/ +- \{ user: victor.*\n/, '').replace(/ +- \{ name: robot.*\n/, ''));
    await waitFor(async () => (await victor.get('/api/session')).status === 401, { what: 'victor to be signed out' });
    assert.equal((await robot.get('/api/session')).status, 401);
    await writeFile(file, text);
    await waitFor(async () => (await robot.get('/api/session')).status === 200, { what: 'the token to count again' });
    assert.equal((await victor.get('/api/session')).status, 401, 'an ended session stays so');
  });
});
