import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { ConsoleSite } from '#test/kit/console/site.ts';

/** Connections that clients keep for nothing. */

describe('connections', () => {
  let site: ConsoleSite;
  before(async () => {
    site = await ConsoleSite.start();
  });
  after(async () => await site[Symbol.asyncDispose]());

  test('of one address cannot take the room of all others', async () => {
    const open: Socket[] = [];
    try {
      for (let n = 0; n < 1000; n++) {
        const socket = connectTcp({ host: '127.0.0.1', port: site.port, localAddress: '127.0.0.2' });
        open.push(socket.on('error', () => undefined));
        await once(socket, 'connect');
      }
      using browser = site.client();
      assert.equal((await browser.get('/api/sign-in')).status, 200);
      assert.ok(open.filter(({ destroyed }) => !destroyed).length >= 200, 'a page and its tables have room');
    } finally {
      for (const socket of open) socket.destroy();
    }
  });
});
