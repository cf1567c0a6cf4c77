import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { RouteTable } from '#services/router/queue/route-table.ts';
import { type Given, type Made, plan } from '#test/kit/postfix/plan.ts';
import { locate, needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';

/** Routes by sender of Postfix: which routes they become, and that mail takes the way that Postfix gives it. */

const CLOSED = 'smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nmynetworks = 10.0.0.0/8\n';
const RELAYHOSTS = 'sender_dependent_relayhost_maps = hash:/etc/postfix/relayhosts\n';
const TRANSPORTS = 'sender_dependent_default_transport_maps = hash:/etc/postfix/transports\n';

const routesOf = ({ config }: Made): string[] =>
  config.routes.map(({ to, from, via, tls, password }) =>
    [to, from ?? '', via, ...(tls === 'opportunistic' ? [] : [tls]), ...(password ? ['password'] : [])].join(' '),
  );

const CASES: [what: string, main: string, given: Given['tables'], routes: string[], told: [string, string][]][] = [
  [
    'addresses and domains',
    `${RELAYHOSTS}relayhost = [smart.example]\n`,
    { relayhosts: 'Ann@Example.com [a.example]:587\n@example.com b.example\n@example.net DUNNO\n' },
    ['*  smtp://smart.example', '* ann@example.com smtp://a.example:587', '* example.com smtp://b.example'],
    [
      ['Ann@Example.com', 'taken from ann@example.com to smtp://a.example:587'],
      [
        '@example.com',
        'taken from example.com to smtp://b.example, with everything below it; MX records of b.example are not asked for',
      ],
      ['@example.net', 'default its mail goes as that of everybody'],
    ],
  ],
  [
    'an exception of a domain',
    RELAYHOSTS,
    { relayhosts: '@example.com [b.example]\nann@example.com dunno\n' },
    ['* example.com smtp://b.example', '* ann@example.com mx'],
    [['ann@example.com', 'taken from ann@example.com to mx']],
  ],
  [
    'a transport before a relayhost, but where it names no host',
    `${RELAYHOSTS}${TRANSPORTS}`,
    {
      relayhosts: 'ann@example.com [a.example]\n@example.net [a.example]\n',
      transports: '@example.com smtp:[t.example]:2525\n@example.net smtp:\n@example.org slow:\n@example.edu discard:\n',
    },
    [
      '* example.com smtp://t.example:2525',
      '* example.net smtp://a.example',
      '* example.edu discard',
      '* ann@example.com smtp://t.example:2525',
    ],
    [['@example.org', 'none the transport slow of master.cf has no counterpart: not taken']],
  ],
  [
    'log-ins of senders',
    `${RELAYHOSTS}relayhost = [smart.example]\nsmtp_sasl_auth_enable = yes\nsmtp_sender_dependent_authentication = yes\nsmtp_sasl_password_maps = hash:/etc/postfix/sasl\n`,
    {
      relayhosts: 'ann@example.com [a.example]\nbob@example.com [a.example]\n',
      sasl: 'ann@example.com ann:p1\n[a.example] shared:p2\ncarl@example.com carl:p3\n',
    },
    [
      '*  smtp://smart.example',
      '* ann@example.com smtp://ann@a.example required password',
      '* bob@example.com smtp://shared@a.example required password',
      '* carl@example.com smtp://carl@smart.example required password',
    ],
    [['carl@example.com', 'taken for mail from carl@example.com']],
  ],
  [
    'log-ins of senders that do not count',
    `${RELAYHOSTS}smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:/etc/postfix/sasl\n`,
    { relayhosts: 'ann@example.com [a.example]\n', sasl: 'ann@example.com ann:p1\n' },
    ['* ann@example.com smtp://a.example'],
    [['ann@example.com ann', 'none smtp_sender_dependent_authentication is not yes']],
  ],
  [
    'a transport of everybody comes first',
    `${RELAYHOSTS}transport_maps = hash:/etc/postfix/transport\n`,
    { relayhosts: 'ann@example.com [a.example]\n', transport: 'x.example smtp:[x.example]\n* smtp:[t.example]\n' },
    ['x.example  smtp://x.example', '*  smtp://t.example'],
    [['ann@example.com', 'none transport_maps has a row for all domains, which comes first: not taken']],
  ],
  [
    'a transport that says nothing of everybody',
    `${RELAYHOSTS}transport_maps = hash:/etc/postfix/transport\n`,
    { relayhosts: 'ann@example.com [a.example]\n', transport: 'x.example smtp:[x.example]\n* :\n' },
    ['x.example  smtp://x.example', '*  mx', '* ann@example.com smtp://a.example'],
    [],
  ],
  [
    'what is not a sender, or not a host',
    RELAYHOSTS,
    { relayhosts: '<> [a.example]\nexample.com [a.example]\nann@example.com [a.example]:99999\nbob@example.com 1\n' },
    ['*  mx'],
    [
      ['<>', 'none mail with the null reverse-path takes the route of everybody: not taken'],
      ['example.com', 'problem is neither an address nor @ and a domain: not taken'],
      ['bob@example.com', 'problem "1" is not a host: not taken'],
      ['ann@example.com', 'problem "[a.example]:99999" is not a host: not taken'],
    ],
  ],
  [
    'a level of TLS for the host of a sender',
    `${RELAYHOSTS}relayhost = [smart.example]\nsmtp_tls_policy_maps = hash:/etc/postfix/tls\n`,
    { relayhosts: 'ann@example.com [a.example]\n', tls: '[a.example] encrypt\n' },
    ['*  smtp://smart.example', '* ann@example.com smtp://a.example required'],
    [],
  ],
];

for (const [what, main, tables, routes, told] of CASES)
  test(`routes by sender: ${what}`, async () => {
    const made = await plan(CLOSED + main, { tables });
    assert.deepEqual(routesOf(made), routes);
    for (const [setting, expected] of told) {
      const answers = made.lines(setting).map(({ verdict, text }) => `${verdict} ${text}`);
      assert.ok(answers.includes(expected), `${setting}: ${answers.join('; ')}`);
    }
  });

test('a table that is not there, or of patterns, is a problem', async () => {
  const { lines, config } = await plan(
    `${CLOSED}sender_dependent_relayhost_maps = hash:/none/relayhosts, regexp:/etc/postfix/r\n`,
  );
  assert.deepEqual(
    lines('sender_dependent_relayhost_maps').map(({ verdict }) => verdict),
    ['problem', 'problem'],
  );
  assert.deepEqual(
    config.routes.map(({ to, via }) => [to, via]),
    [['*', 'mx']],
  );
});

const SENDERS = [
  'ann@example.com',
  'ANN@Example.COM',
  'bob@example.com',
  'carl@example.net',
  'x@example.org',
  'y@z.example',
];

test('mail goes by the hosts that Postfix finds, in the tables as Postfix reads them', needs('postconf'), async () => {
  await using temp = await tempDir('postfix');
  const table = join(temp.path, 'relayhosts');
  const text = [
    '# by sender',
    'Ann@example.com   [a.example]:587',
    '@Example.com',
    '    [b.example]',
    'carl@example.net  DUNNO',
    '@example.net      [c.example]',
    '@example.org      DUNNO',
  ];
  await writeFile(table, `${text.join('\n')}\n`);
  const parameters = [
    `sender_dependent_relayhost_maps = hash:${table}`,
    'relayhost = [smart.example]',
    `${CLOSED}compatibility_level = 3.6`,
  ];
  await writeFile(join(temp.path, 'main.cf'), `${parameters.join('\n')}\n`);
  const postfix = (program: string, ...args: string[]): string =>
    execFileSync(locate(program) ?? program, ['-c', temp.path, ...args], { encoding: 'utf8' });
  postfix('postmap', `hash:${table}`);
  const main = postfix('postconf', '-n');
  const { config } = await plan(main, { tables: { relayhosts: postfix('postmap', '-s', `hash:${table}`) } });
  const asWritten = await plan(main, { tables: { relayhosts: `${text.join('\n')}\n` } });
  const sorted = (made: Made['config']): string[] => made.routes.map((route) => JSON.stringify(route)).sort();
  assert.deepEqual(sorted(asWritten.config), sorted(config));

  const routes = new RouteTable(config.routes);
  for (const sender of SENDERS) {
    const { via } = routes.routeFor('far.example', { reversePath: sender });
    const host = postfixHost(sender, (key) => lookUp(postfix, table, key)) ?? '[smart.example]';
    assert.equal(via, `smtp://${host.replace(/[[\]]/g, '')}`, sender);
  }
});

/** What sender_dependent_relayhost_maps says, as postconf(5) has it. */
function postfixHost(sender: string, find: (key: string) => string | undefined): string | undefined {
  const said = find(sender) ?? find(sender.slice(sender.indexOf('@')));
  return said === 'DUNNO' ? undefined : said;
}

/** postmap ends with 1 where the table has no such key. */
function lookUp(postfix: (...args: [string, ...string[]]) => string, table: string, key: string): string | undefined {
  try {
    return postfix('postmap', '-q', key, `hash:${table}`).trim();
  } catch {
    return undefined;
  }
}
