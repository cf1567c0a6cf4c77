import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plan } from '#test/kit/postfix/plan.ts';

/** Milters of Postfix become mail filters, but for OpenDKIM, which Sealpost does without. */

test('milters become filters, each once; OpenDKIM does not', async () => {
  const { config, lines } = await plan(
    [
      'smtpd_milters = inet:127.0.0.1:8891, inet:localhost:11332, { unix:/run/m/socket, default_action=accept }, inet:[::1]:99',
      'non_smtpd_milters = $smtpd_milters',
      'milter_default_action = reject',
      'milter_protocol = 6',
    ].join('\n'),
  );
  assert.deepEqual(
    config.filters.map(({ name, type, url, 'on-trouble': onTrouble }) => [name, type, url, onTrouble]),
    [
      ['milter-1', 'milter', 'tcp://localhost:11332', 'defer'],
      ['milter-2', 'milter', 'unix:/run/m/socket', 'accept'],
      ['milter-3', 'milter', 'tcp://[::1]:99', 'defer'],
    ],
  );
  assert.deepEqual(
    lines('smtpd_milters').map(({ verdict }) => verdict),
    ['to-do', 'taken', 'taken', 'taken'],
  );
  assert.match(lines('milter_default_action')[0]?.text ?? '', /no reject/);
  assert.equal(lines('milter_protocol')[0]?.verdict, 'none');
});

test('a milter that cannot be understood is a problem, and none is a filter', async () => {
  const { config, lines } = await plan(
    'smtpd_milters = unix:relative/socket, inet:x:99999, {}\nmilter_default_action = accept\n',
  );
  assert.deepEqual(config.filters, []);
  assert.deepEqual(
    lines('smtpd_milters').map(({ verdict }) => verdict),
    ['problem', 'problem', 'problem'],
  );
  assert.equal(lines('milter_default_action')[0]?.verdict, 'none');
});
