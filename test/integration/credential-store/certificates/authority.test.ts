import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { createRequest } from '#cluster/certificate.ts';
import { orderFrom, transport, type Wanted } from '#services/credential-store/certificates/acme/authority.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { AcmeFront } from '#test/kit/tls/acme-front.ts';
import { issue } from '#test/kit/tls/issue.ts';
import { Pebble } from '#test/kit/tls/pebble.ts';

/** An authority that does odd things, without a cluster. */

const HOUR_MS = 3_600_000;
const names = ['mx.example.com'];

test('an order that the authority does not end', { ...needs('pebble'), timeout: 120_000 }, async (t) => {
  await using pebble = await Pebble.start({ dns: '127.0.0.1:1', trusts: true });
  await using front = await AcmeFront.start(pebble);
  const acme = { directory: front.directory, ca: front.ca, contact: [], challenge: 'dns-01' as const };
  const account = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const { request } = await createRequest(names, undefined);
  let url = '';
  const proven: string[] = [];
  const wanted: Wanted = {
    names,
    requestOf: async (of) => {
      url = of;
      return request;
    },
    prove: async ({ host }) => {
      proven.push(host);
      return async () => undefined;
    },
  };
  const order = (more: Partial<Wanted> = {}) => orderFrom(acme, account, { ...wanted, ...more });
  const orders = () => front.accepted('/order-plz').length;

  /** An order that is asked for and made, of which nobody heard. */
  const lost = async (): Promise<string> => {
    front.after = ({ path }) => {
      if (path.startsWith('/finalize-order/')) throw new Error('the connection is gone');
    };
    await assert.rejects(order(), /does not make the certificate/);
    front.after = () => undefined;
    return url;
  };

  await t.test('in processing for less than a day it is waited for', async () => {
    const begun = { url: await lost(), since: Date.now() - 23 * HOUR_MS };
    const before = orders();
    let looks = 0;
    front.rewrite = (path, object) =>
      path.startsWith('/my-order/') && ++looks < 3 ? { ...object, status: 'processing' } : object;
    assert.ok(new X509Certificate(await order({ begun })).checkHost('mx.example.com'));
    assert.equal(looks, 3);
    assert.equal(orders(), before);
  });

  await t.test('after a day another one is made', async () => {
    const begun = { url: await lost(), since: Date.now() - 25 * HOUR_MS };
    const before = orders();
    const path = new URL(begun.url).pathname;
    front.rewrite = (of, object) => (of === path ? { ...object, status: 'processing' } : object);
    assert.ok(new X509Certificate(await order({ begun })).checkHost('mx.example.com'));
    assert.equal(orders(), before + 1);
    assert.notEqual(url, begun.url);
  });

  await t.test('a name that was not ordered is not proven', async () => {
    proven.length = 0;
    front.rewrite = (path, object) =>
      path.startsWith('/authZ/') ? { ...object, identifier: { type: 'dns', value: 'other.example.net' } } : object;
    await assert.rejects(order(), /the authority wants other\.example\.net proven, which was not ordered/);
    assert.deepEqual(proven, []);
  });
});

/** A server that answers as the test wants, and its authority in a file. */
async function answering(answer: (response: ServerResponse) => void) {
  const stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir('authority'));
  const root = await issue('Root', { ca: true });
  const { certificate: cert, key } = await issue('localhost', { by: root, names: ['localhost'] });
  const ca = join(folder.path, 'root.pem');
  await writeFile(ca, root.certificate);
  const server = createServer({ cert, key }, (_, response) => answer(response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `https://localhost:${(server.address() as AddressInfo).port}/dir`;
  return { ca, url, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test('an answer that comes a byte at a time ends with the time for it', { timeout: 20_000 }, async () => {
  await using server = await answering((response) => {
    const timer = setInterval(() => response.write(' '), 50);
    response.once('close', () => clearInterval(timer));
  });
  const { axios } = await transport({ ca: server.ca }, 500);
  await assert.rejects(axios.get(server.url), { code: 'ETIMEDOUT', message: /no complete answer within 0\.5 s/ });
});

test('an answer that is too large is not taken', { timeout: 20_000 }, async () => {
  await using server = await answering((response) => {
    const piece = Buffer.alloc(64 * 1024, ' ');
    const more = (): void => {
      while (!response.destroyed && response.write(piece));
    };
    response.on('drain', more);
    more();
  });
  const { axios } = await transport({ ca: server.ca }, 10_000);
  await assert.rejects(axios.get(server.url), /maxContentLength size of 1048576 exceeded/);
});
