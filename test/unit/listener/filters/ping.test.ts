import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { FakeFilter, httpAnswer } from '#test/kit/filters/fake-filter.ts';
import { FakeMilter, milterAgreement } from '#test/kit/filters/fake-milter.ts';
import { freePort } from '#test/kit/free-port.ts';
import { waitFor } from '#test/kit/wait.ts';
import { startListener } from '#test/unit/listener/harness.ts';

/** What a listener finds out about its filters when it is asked for. */

type Kind = 'rspamd' | 'clamd' | 'milter';
const entry = (type: Kind, port: number, more: object = {}) => ({
  ...{ name: type, type, url: `${type === 'rspamd' ? 'http' : 'tcp'}://127.0.0.1:${port}` },
  ...more,
});

async function ask({ service }: Awaited<ReturnType<typeof startListener>>) {
  const meta = { bytes: new Uint8Array(), trace: undefined };
  return (await service.handlers['status-show']({ checkFilters: true }, meta)).filters ?? assert.fail();
}

/** Answers once something was asked. */
const answers = (text: string) => (socket: Socket) => socket.once('data', () => socket.write(text, 'latin1'));
const silent = (socket: Socket): unknown => socket.resume();
const closing = (socket: Socket): unknown => socket.resume().end();

const FOUND: [what: string, kind: Kind, serve: (socket: Socket) => unknown, error: RegExp | undefined][] = [
  ['is there', 'rspamd', answers(httpAnswer('pong\r\n')), undefined],
  ['is there', 'clamd', answers('PONG\0'), undefined],
  ['is there', 'milter', answers(milterAgreement(0, 0).toString('latin1')), undefined],
  ['is a web server of another kind', 'rspamd', answers(httpAnswer('<html>')), /it answers "<html>": it is not rspamd/],
  ['is clamd', 'rspamd', answers('PONG\0'), /Parse Error/],
  ['sends without end', 'rspamd', answers(`HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(1_000_000)}`), /it is not rspamd/],
  ['answers half', 'rspamd', answers('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npo'), /does not answer within 2s/],
  ['is rspamd', 'clamd', answers('HTTP/1.1 400 Bad\r\n\r\n\0'), /it answers "HTTP.*": it is not clamd/],
  ['sends without end', 'clamd', answers('x'.repeat(1_000_000)), /it is not clamd/],
  ['is an SMTP server', 'milter', answers('220 mx.test ESMTP\r\n'), /not the milter protocol/],
  ['is too new', 'milter', answers(milterAgreement(0, 0, 7).toString('latin1')), /version 7/],
  ...(['rspamd', 'clamd', 'milter'] as const).flatMap((kind): typeof FOUND => [
    ['closes the connection', kind, closing, /hang up|gives no answer|closed the connection|ECONNRESET|EPIPE/],
    ['says nothing', kind, silent, /^it does not answer within 2s$/],
  ]),
];

for (const [what, kind, serve, error] of FOUND) {
  test(`a ${kind} that ${what}`, async () => {
    await using fake = await FakeFilter.start(serve);
    await using server = await startListener({ config: { filters: [entry(kind, fake.port)] } });
    const [found] = await ask(server);
    if (error === undefined) assert.equal(found?.error, undefined);
    else assert.match(found?.error ?? 'none', error);
    await waitFor(() => fake.open === 0, { what: 'the connection to be closed' });
  });
}

test('all filters are asked at the same time, once for all who ask meanwhile, and only where somebody asks', async () => {
  await using hung = await FakeFilter.start(silent);
  await using milter = await FakeMilter.start();
  const filters = [
    entry('clamd', hung.port, { name: 'one', 'on-trouble': 'accept' }),
    entry('clamd', hung.port, { name: 'two' }),
    { name: 'three', type: 'milter', url: milter.url },
    entry('rspamd', await freePort()),
    { name: 'five', type: 'clamd', url: 'unix:/nowhere/clamd.ctl' },
  ];
  await using server = await startListener({ config: { filters } });
  await server.status();
  assert.equal(hung.count, 0);
  const [found, same] = await Promise.all([ask(server), ask(server)]);
  assert.equal(hung.count, 2);
  assert.equal(same, found);
  assert.deepEqual(
    found.map(({ name, onTrouble, error }) => [name, onTrouble, error?.replace(/127.0.0.1:\d+/, 'HOST')]),
    [
      ['one', 'accept', 'it does not answer within 2s'],
      ['two', 'defer', 'it does not answer within 2s'],
      ['three', 'defer', undefined],
      ['rspamd', 'defer', 'connect ECONNREFUSED HOST'],
      ['five', 'defer', 'connect ENOENT /nowhere/clamd.ctl'],
    ],
  );
  await waitFor(() => milter.letters === 'OQ', { what: 'the milter to hear that it was all' });
  await ask(server);
  assert.equal(hung.count, 4, 'it is asked again the next time');
});
