import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '#cluster/config/load.ts';
import { relayWarnings } from '#cluster/config/rules/relay.ts';

const GROUPS = `
groups:
  hosts: { office: [10.0.0.0/8, mail.example.com], front: [192.0.2.1] }
  domains: { partners: [A.example, b.example] }
`;

async function load(text: string) {
  const loaded = await parseConfig(text, '/', { files: false });
  assert.ok(loaded.ok, JSON.stringify(loaded));
  return loaded.config;
}

test('R1 a group stands for its hosts or domains in every list, among other entries', async () => {
  const { relay, listeners, authentication, checks } = await load(`${GROUPS}
listeners: [{ name: mx, kind: relay, port: 25, tls: none, proxy: [10.9.9.9, group:front] }]
authentication: { anonymous: [group:office] }
checks: { exempt: [group:front], greylist: { recipients: [group:partners, postmaster@example.com] } }
relay:
  scope: external
  internal: { hosts: [group:front] }
  exclude: [group:office, 192.0.2.9]
  allow: { hosts: [192.0.2.7, group:office], domains: [group:partners] }
  deny: { hosts: ["*", group:front], domains: [c.example] }
`);
  assert.deepEqual(relay.internal.hosts, ['192.0.2.1']);
  assert.deepEqual(relay.exclude, ['10.0.0.0/8', 'mail.example.com', '192.0.2.9']);
  assert.deepEqual(relay.allow, {
    hosts: ['192.0.2.7', '10.0.0.0/8', 'mail.example.com'],
    domains: ['a.example', 'b.example'],
    certificates: [],
  });
  assert.deepEqual(relay.deny, { hosts: ['*', '192.0.2.1'], domains: ['c.example'] });
  assert.deepEqual(listeners[0]?.proxy, ['10.9.9.9', '192.0.2.1']);
  assert.deepEqual(authentication.anonymous, ['10.0.0.0/8', 'mail.example.com']);
  assert.deepEqual(checks.exempt, ['192.0.2.1']);
  assert.deepEqual(checks.greylist.recipients, ['a.example', 'b.example', 'postmaster@example.com']);
});

test('a group may have the name of something that every object has, and one that is not there is said', async () => {
  const { relay } = await load(
    'listeners: []\ngroups: { hosts: { constructor: [10.0.0.1] } }\nrelay: { exclude: [group:constructor] }',
  );
  assert.deepEqual(relay.exclude, ['10.0.0.1']);
  const loaded = await parseConfig('listeners: []\nrelay: { exclude: [group:constructor] }', '/', { files: false });
  assert.ok(!loaded.ok);
  assert.match(loaded.problems[0]?.message ?? '', /^unknown group "constructor"; groups.hosts has no groups$/);
});

const WARNED: [relay: string, expected: RegExp | undefined][] = [
  ['{}', undefined],
  ['{ scope: none }', /^relay.scope is none: this server is an OPEN RELAY/],
  ['{ allow: { hosts: ["*"] } }', /^relay.allow.hosts has \*: this server is an OPEN RELAY/],
  ['{ allow: { domains: ["*"] } }', /^relay.allow.domains has \*: .* OPEN RELAY/],
  ['{ allow: { hosts: ["*"] }, deny: { hosts: [192.0.2.7] } }', /OPEN RELAY/],
  ['{ allow: { hosts: ["*"] }, deny: { domains: ["*"] }, precedence: allow }', /OPEN RELAY/],
  ['{ allow: { hosts: ["*"] }, deny: { domains: ["*"] } }', undefined],
  ['{ allow: { hosts: ["0.0.0.0/0"] } }', /^relay.allow.hosts has 0.0.0.0\/0: .* OPEN RELAY/],
  ['{ exclude: ["::/0"] }', /^relay.exclude has ::\/0: .* OPEN RELAY/],
  ['{ scope: external, internal: { hosts: ["0.0.0.0/0"] } }', /OPEN RELAY/],
  ['{ scope: external }', /^relay.scope is external, but no host is internal/],
  ['{ internal: { names: true } }', undefined],
  ['{ scope: external, internal: { names: true } }', undefined],
];

for (const [relay, expected] of WARNED) {
  test(`R3 config check and start warn of an open relay: ${relay}`, async () => {
    const [warning, ...more] = relayWarnings(await load(`listeners: []\nrelay: ${relay}`));
    if (expected === undefined) assert.equal(warning, undefined);
    else assert.match(warning ?? '', expected);
    assert.deepEqual(more, []);
  });
}

test('R3 whoever loads the configuration of an open relay hears of it, unless his services neither listen nor decide', async () => {
  const text = 'node: { hostname: mx.example.com, data: /tmp }\nlisteners: []\nrelay: { scope: none }';
  const warned = async (services?: string[]) => {
    const { warnings } = await parseConfig(text, '/', services === undefined ? {} : { services });
    return warnings.some((warning) => warning.includes('OPEN RELAY'));
  };
  assert.ok(await warned());
  assert.ok(await warned(['listener']));
  assert.ok(await warned(['policy']));
  assert.ok(!(await warned(['signer'])));
});

test('config check warns of a listener that believes the PROXY header of anybody', async () => {
  const warnings = async (proxy: string) => {
    const text = `node: { hostname: mx.example.com, data: /tmp }\nlisteners: [{ name: mx, kind: relay, port: 25, proxy: ${proxy} }]`;
    return (await parseConfig(text, '/')).warnings.filter((warning) => warning.includes('PROXY'));
  };
  assert.deepEqual(await warnings('[192.0.2.1, 10.0.0.0/8]'), []);
  const [warning = '', ...more] = await warnings('[192.0.2.1, "::/0"]');
  assert.match(warning, /^proxy of listener mx has ::\/0: /);
  assert.deepEqual(more, []);
});
