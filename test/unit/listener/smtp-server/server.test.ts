import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { SMTPServer } from 'smtp-server';
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import { SessionCounts } from '#cluster/serving/session-counts.ts';
import { SmtpServer } from '#services/listener/smtp-server/server.ts';
import { TlsMaterial } from '#services/listener/tls-material.ts';
import { silentLogger } from '#shared/log.ts';

/** What `server.ts` and `stream.ts` rely on. When one of these fails, read the heads of both files again. */

const VERSION = '3.21.6';

test('smtp-server is the version that was read, and pinned', () => {
  const installed = createRequire(import.meta.url)('smtp-server/package.json') as { version: string };
  assert.equal(installed.version, VERSION);
  const own = JSON.parse(readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  assert.equal(own.dependencies['smtp-server'], VERSION);
});

const METHODS: [name: string, prototype: object, methods: string[]][] = [
  ['SMTPServer', SMTPServer.prototype, ['updateSecureContext', '_resolveSNI', '_acceptSocket', '_upgrade']],
  [
    'SMTPConnection',
    SMTPConnection.prototype,
    [
      'init',
      '_setListeners',
      '_createParser',
      'upgrade',
      'close',
      '_onClose',
      '_onError',
      '_onTimeout',
      '_armTimeout',
      '_whenWritable',
    ],
  ],
  ['SMTPStream', SMTPStream.prototype, ['_write', '_flushData']],
];

for (const [name, prototype, methods] of METHODS) {
  test(`${name} still has the methods that are overridden or called`, () => {
    for (const method of methods) assert.equal(typeof Reflect.get(prototype, method), 'function', method);
  });
}

function server(options: object): SmtpServer {
  return new SmtpServer(options, {
    tls: new TlsMaterial(silentLogger),
    counts: new SessionCounts(),
    limits: () => ({ sessions: 1, 'sessions-per-client': 1 }),
    openingMs: () => 1000,
    expectsProxy: () => false,
    session: () => {
      throw new Error('no session in this test');
    },
    acceptFailed: () => {},
    refused: () => {},
    failed: () => {},
    left: () => {},
    unopened: () => {},
  });
}

test('options are read from the object that was given, when they are needed', () => {
  let asked = 0;
  const options = {
    logger: false,
    get socketTimeout() {
      return ++asked;
    },
  };
  const made = server(options);
  assert.equal(made.options, options);
  const before = asked;
  assert.ok(Number(made.options.socketTimeout) > before);
});

test('the certificate that comes with the library, whose key is public, is never loaded', (t) => {
  const warned = t.mock.method(console, 'error');
  const made = server({ logger: false, secure: true });
  assert.equal(made.secureContext.size, 0);
  assert.equal(warned.mock.callCount(), 0);
});

test('the stream leaves unfinished lines alone when it ends, as the override wants', () => {
  const stream = new SMTPStream();
  let flushed = 0;
  stream._flushData = () => {
    flushed++;
  };
  stream.emit('finish');
  assert.equal(flushed, 1);
});
