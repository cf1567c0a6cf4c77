import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { Links } from '#services/console/http/links.ts';
import type { Proof } from '#services/console/http/people.ts';
import { Sessions } from '#services/console/http/sessions.ts';
import { waitFor } from '#test/kit/wait.ts';

const PEOPLE = [
  { user: 'alice', role: 'operator' },
  { user: 'victor', role: 'viewer' },
];

function settingsWith({ idle = 60_000, longest = 3_600_000, people = PEOPLE } = {}): Settings {
  const config = ConfigSchema.parse({ console: { people } });
  if (config.console !== undefined) config.console.sessions = { idle, longest };
  return new Settings(config);
}

const proofOf = (user: string, ...others: string[]): Proof => ({ by: 'password', user, names: [user, ...others] });
const NOBODY = { has: () => false };

describe('sessions', () => {
  test('are found by their id alone', () => {
    const sessions = new Sessions(settingsWith(), NOBODY);
    const id = sessions.begin(proofOf('alice'));
    assert.match(id, /^[\w-]{43}$/);
    const found = sessions.use(id);
    assert.deepEqual(found?.person, { name: 'alice', role: 'operator', domains: undefined });
    assert.equal(sessions.use(found?.session.key ?? ''), undefined, 'what is kept opens nothing');
    assert.equal(sessions.use(''), undefined);
  });

  test('end when they are idle, and when they are old', async () => {
    for (const limits of [{ idle: 20 }, { longest: 20 }]) {
      const sessions = new Sessions(settingsWith(limits), NOBODY);
      const id = sessions.begin(proofOf('alice'));
      let ended = false;
      sessions.use(id)?.session.streams.add(() => {
        ended = true;
      });
      await waitFor(() => sessions.use(sessions.begin(proofOf('victor'))) !== undefined && ended, {
        what: `a session to end by ${JSON.stringify(limits)}`,
      });
      assert.equal(sessions.use(id), undefined);
    }
  });

  test('end with the entry of their person, as soon as the configuration changes', () => {
    const settings = settingsWith();
    const sessions = new Sessions(settings, NOBODY);
    sessions.start();
    const [alice, victor] = [sessions.begin(proofOf('alice')), sessions.begin(proofOf('victor'))];
    let ended = false;
    sessions.use(victor)?.session.streams.add(() => {
      ended = true;
    });
    settings.replace(settingsWith({ people: PEOPLE.slice(0, 1) }).current);
    assert.ok(ended);
    assert.equal(sessions.use(victor), undefined);
    assert.notEqual(sessions.use(alice), undefined);
    sessions.stop();
    assert.equal(sessions.count, 0);
  });

  test('end when their person is blocked, by whichever name, and those of links go on', () => {
    const blocked = new Set<string>();
    const sessions = new Sessions(settingsWith(), { has: (names) => names.some((name) => blocked.has(name)) });
    const [alice, victor] = [sessions.begin(proofOf('alice', 'a.smith')), sessions.begin(proofOf('victor'))];
    const link = sessions.begin({ by: 'link', name: 'alice', role: 'operator' });
    blocked.add('a.smith').add('alice');
    assert.equal(sessions.use(alice), undefined);
    assert.notEqual(sessions.use(victor), undefined);
    assert.notEqual(sessions.use(link), undefined);
  });

  test('of one person are bounded, and push out none of others', () => {
    const sessions = new Sessions(settingsWith(), NOBODY);
    const victor = sessions.begin(proofOf('victor'));
    const first = sessions.begin(proofOf('alice'));
    for (let i = 0; i < 50; i++) sessions.begin(proofOf('alice'));
    assert.equal(sessions.count, 21);
    assert.equal(sessions.use(first), undefined);
    assert.notEqual(sessions.use(victor), undefined);
  });
});

describe('links', () => {
  test('are good once, and only as they were made', () => {
    const links = new Links();
    const url = new URL(links.create('https://console.test', { name: 'root', role: 'viewer', domains: ['a.test'] }));
    assert.equal(url.search, '', 'the secret is in the fragment alone');
    const secret = url.hash.slice(1);
    assert.equal(links.redeem(`${secret}x`), undefined);
    assert.deepEqual(links.redeem(secret), { by: 'link', name: 'root', role: 'viewer', domains: ['a.test'] });
    assert.equal(links.redeem(secret), undefined);
  });
});
