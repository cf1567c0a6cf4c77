import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import pino from 'pino';
import {
  domainOf,
  isSameOrSubdomain,
  localPartOf,
  needsSmtpUtf8,
  normalizeAddress,
  normalizeDomain,
} from '#shared/address/address.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { formatReply, isPermanent, reply } from '#shared/mail/reply.ts';
import { Secret } from '#shared/secret.ts';

test('a secret shows in no output that a program makes of it', () => {
  const secret = new Secret('hunter2');
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  log.info({ password: secret, nested: { list: [secret] } }, `with ${secret}`);
  const shown = [
    inspect(secret, { showHidden: true, depth: 9 }),
    JSON.stringify({ secret }),
    `${secret}`,
    String(secret),
    lines.join(),
  ];
  for (const text of shown) assert.doesNotMatch(text, /hunter2/);
  assert.equal(secret.reveal(), 'hunter2');
  assert.throws(() => structuredClone(secret).reveal(), 'a clone holds nothing');
});

test('domains are compared by whole labels, in A-labels', () => {
  const table: [string, string, boolean][] = [
    ['notexample.com', 'example.com', false],
    ['example.com', 'example.com', true],
    ['a.b.example.com', 'example.com', true],
    ['example.com', 'a.example.com', false],
    ['example.com.evil.test', 'example.com', false],
  ];
  for (const [domain, parent, expected] of table)
    assert.equal(isSameOrSubdomain(domain, parent), expected, `${domain} in ${parent}`);
  assert.equal(normalizeDomain('BÜCHER.Example.'), 'xn--bcher-kva.example');
  assert.equal(normalizeDomain('_DMARC.Example.COM'), '_dmarc.example.com');
  assert.equal(normalizeDomain('[IPv6:2001:DB8::1]'), '[ipv6:2001:db8::1]');
});

test('the domain of an address is what follows the last @', () => {
  assert.equal(domainOf('"a@b"@example.com'), 'example.com');
  assert.equal(localPartOf('"a@b"@example.com'), '"a@b"');
  assert.equal(domainOf(''), '');
  assert.equal(domainOf('postmaster'), '');
  assert.equal(normalizeAddress('Alice.B@EXAMPLE.com'), 'Alice.B@example.com');
  assert.equal(needsSmtpUtf8('grüße@example.com'), true);
  assert.equal(needsSmtpUtf8('a@example.com'), false);
});

test('queue ids sort by time, never repeat, and keep their order when the clock stands still or goes back a little', async () => {
  // A module of its own: other tests of this process have moved its time, and this one would.
  const url = `${import.meta.resolve('#shared/ids.ts')}?own`;
  const { newQueueId, QUEUE_ID, queueIdFloor } = (await import(url)) as typeof import('#shared/ids.ts');
  const now = Date.now() + 1_000_000;
  const ids = Array.from({ length: 5000 }, (_, i) => newQueueId(i < 2500 ? now : now - 5000));
  assert.deepEqual(
    ids.map((id) => id.slice(0, 11)),
    ids.map((id) => id.slice(0, 11)).sort(),
  );
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, QUEUE_ID);
  assert.ok(queueIdFloor(now) <= (ids[0] ?? ''));
  assert.ok(queueIdFloor(now + 60_000) > (ids.at(-1) ?? ''));
  const back = newQueueId(now - 3_600_000);
  assert.ok(back < queueIdFloor(now - 3_599_000), 'a clock that was set back is followed');
  assert.ok(newQueueId(now) >= queueIdFloor(now), 'and again when it is right');
});

test('replies and errors as one line', () => {
  assert.equal(formatReply(reply(550, '5.1.1', 'No such user')), '550 5.1.1 No such user');
  assert.equal(formatReply({ code: 250, text: 'ok' }), '250 ok');
  assert.equal(isPermanent(reply(452, '4.3.1', 'full')), false);
  const inner = Object.assign(new Error('no space left'), { code: 'ENOSPC' });
  assert.equal(
    errorText(new SealpostError('store-failed', 'cannot write', { cause: inner })),
    'cannot write (store-failed): no space left (ENOSPC)',
  );
  assert.equal(errorText('text'), 'text');
  const openSsl = 'error:0A00010B:SSL routines:tls_get_more_records:wrong version number:../deps/ssl/tlsany_meth.c:84:';
  assert.equal(
    errorText(Object.assign(new Error(`40C7E2F1:${openSsl}\n`), { code: 'ERR_SSL_WRONG_VERSION_NUMBER' })),
    'wrong version number (ERR_SSL_WRONG_VERSION_NUMBER)',
  );
});
