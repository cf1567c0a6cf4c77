import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { generateNek, parseNeks } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import { type HttpChallenge, proveChallenges } from '#shared/tls/http-challenge.ts';
import { tempDir } from '#test/kit/temp.ts';
import { startListener } from '#test/unit/listener/harness.ts';

const PREFIX = '/.well-known/acme-challenge/';
const newToken = (): string => randomBytes(32).toString('base64url');
const CONTEXT = { bytes: new Uint8Array(), trace: undefined };

/** A listener service that answers challenges, and a store with them; `prove`: another NEK than that of the listener. */
async function serving({ prove }: { prove?: string } = {}) {
  const stack = new AsyncDisposableStack();
  const { path } = stack.use(await tempDir('challenges'));
  const nek = generateNek('tls');
  const nekFile = join(path, 'tls.nek');
  await writeFile(nekFile, nek, { mode: 0o600 });
  const challenges: HttpChallenge[] = [];
  const store = { asked: 0, away: false };
  const config = (section: object | undefined) => ({
    tls: { nek: nekFile },
    ...(section && { 'http-challenge': section }),
  });
  const server = stack.use(
    await startListener({
      config: config({ address: '127.0.0.1', port: 0 }),
      challenges: async ({ nonce }) => {
        store.asked++;
        if (store.away) throw new SealpostError('unavailable', 'no store');
        const macs = proveChallenges(parseNeks(prove ?? nek), nonce, challenges);
        return { node: 'edge-2', challenges: [...challenges], macs };
      },
    }),
  );
  const status = async () => (await server.service.handlers['status-show']({}, CONTEXT)).httpChallenge;
  const add = (): HttpChallenge => {
    const token = newToken();
    const challenge = { token, value: `${token}.${newToken()}` };
    challenges.push(challenge);
    return challenge;
  };
  const change = (section: object | undefined): void =>
    server.settings.replace(
      ConfigSchema.parse({ node: { hostname: 'mx.test' }, listeners: [], ...config(section) }) as never,
    );
  const port = (await status())?.port ?? 0;
  const check = async (token: string) => server.service.handlers['challenge-check']({ token }, CONTEXT);
  return {
    ...server,
    ...{ port, status, store, challenges, add, change, check },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function ask(port: number, path: string, method = 'GET') {
  const request = httpRequest({ host: '127.0.0.1', port, method, path, agent: false });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return { code: response.statusCode, type: response.headers['content-type'], body: await text(response) };
}

const NOTHING = { code: 404, type: 'text/plain', body: '' };

test('a token is answered with its key authorization, whatever the host, as long as the store has it', async () => {
  await using given = await serving();
  const { token, value } = given.add();
  const path = `${PREFIX}${token}`;
  assert.deepEqual(await ask(given.port, path), { code: 200, type: 'application/octet-stream', body: value });
  assert.deepEqual(await ask(given.port, path, 'HEAD'), { code: 200, type: 'application/octet-stream', body: '' });
  const later = given.add();
  assert.equal((await ask(given.port, `${PREFIX}${later.token}`)).body, later.value);
  given.challenges.length = 0;
  assert.deepEqual(await ask(given.port, path), NOTHING);
});

test('everything else is not found, and what is not a token costs the bus nothing', async () => {
  await using given = await serving();
  const { token } = given.add();
  const refused = [
    ...['/', PREFIX, PREFIX.slice(0, -1), '/.well-known/', `/${token}`],
    ...[`${PREFIX}${token}/`, `${PREFIX}${token}?x`, `${PREFIX}${token}=`, `${PREFIX}../${token}`],
    ...[`${PREFIX}${token.slice(0, 21)}`, `${PREFIX}${'x'.repeat(257)}`, `${PREFIX}%2e%2e%2f${token}`],
    `${PREFIX}${token.slice(0, 30)}%00`,
  ];
  for (const path of refused) assert.deepEqual(await ask(given.port, path), NOTHING, path);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
    assert.deepEqual(await ask(given.port, `${PREFIX}${token}`, method), NOTHING, method);
  }
  assert.equal(given.store.asked, 0);
  assert.equal((await ask(given.port, `${PREFIX}${'x'.repeat(9000)}`)).code, 431);
});

test('many who ask for tokens that nobody has cost the bus a few questions, and hide no token that comes', async () => {
  await using given = await serving();
  const strangers = Array.from({ length: 50 }, () => ask(given.port, `${PREFIX}${newToken()}`));
  await strangers[0];
  const { token, value } = given.add();
  assert.equal((await ask(given.port, `${PREFIX}${token}`)).body, value);
  for (const { code } of await Promise.all(strangers)) assert.equal(code, 404);
  assert.ok(given.store.asked <= 4, `${given.store.asked} questions`);
});

test('requests that come behind one that has yet to be answered end the connection', async () => {
  await using given = await serving();
  const path = `${PREFIX}${newToken()}`;
  // The answers wait for the store, and Node would take in what comes meanwhile.
  await ask(given.port, path);
  const asked = given.store.asked;
  const socket = connect(given.port, '127.0.0.1');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(20));
  assert.equal((await text(socket)).match(/^HTTP/gm)?.length ?? 0, 0);
  assert.ok(given.store.asked <= asked + 1);
});

test('a store that is away, or that does not prove that it has the NEK, is not believed', async () => {
  await using given = await serving();
  const { token } = given.add();
  given.store.away = true;
  assert.equal((await ask(given.port, `${PREFIX}${token}`)).code, 503);
  await using impostor = await serving({ prove: generateNek('tls') });
  const false_ = impostor.add();
  assert.deepEqual(await ask(impostor.port, `${PREFIX}${false_.token}`), { ...NOTHING, code: 503 });
  const [said] = impostor.log.filter(({ msg }) => msg === 'challenge of ACME not answered');
  assert.match(String(said?.error), /node edge-2 did not prove that it has one of the NEKs of tls\.nek/);
  const { found, problem = '' } = await impostor.check(false_.token);
  assert.equal(found, false);
  assert.match(problem, /did not prove/);
});

test('it is open with its section alone; a store may ask it whether it finds a token', async () => {
  await using given = await serving();
  const { token } = given.add();
  assert.deepEqual(await given.check(token), { node: 'edge-1', found: true });
  assert.deepEqual(await given.check(newToken()), { node: 'edge-1', found: false });
  given.change(undefined);
  while ((await given.status()) !== undefined) await new Promise(setImmediate);
  await assert.rejects(given.check(token), { code: 'unavailable' });
  const socket = connect(given.port, '127.0.0.1');
  const [error] = await once(socket, 'error');
  assert.equal((error as NodeJS.ErrnoException).code, 'ECONNREFUSED');
});
