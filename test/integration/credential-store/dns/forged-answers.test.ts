import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ZoneConfig } from '#cluster/config/schema/schema.ts';
import { publishTxt } from '#services/credential-store/dns/publish.ts';
import type { PublishOptions } from '#services/credential-store/dns/zone-update.ts';
import { askByTcp } from '#shared/dns/exchange.ts';
import { decodeMessage, Opcode } from '#shared/dns/message.ts';
import { parseServer } from '#shared/dns/server.ts';
import { FakeDns, type Query } from '#test/kit/dns/fake-dns.ts';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { needs } from '#test/kit/runner/peers.ts';

/** An attacker between us and BIND: a changed answer never passes for a success. */

const KEY = 'v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=';

const SILENT = /no answer within 0\.2 s/;

describe('an answer of BIND that was changed on its way', needs('named', 'nsupdate'), () => {
  let zones: ZoneServers;
  let between: FakeDns;
  let zone: ZoneConfig;
  /** Each update adds a record of its own, and BIND answers NOERROR. */
  let count = 0;
  before(async () => {
    zones = await ZoneServers.start({ 'example.com': '' }, { secondaries: 0 });
    between = await FakeDns.start(forward);
    zone = { ...zones.zone(), update: { ...zones.zone().update, server: between.server } };
  });
  after(() => Promise.all([zones[Symbol.asyncDispose](), between[Symbol.asyncDispose]()]));

  const forward = async (query: Query): Promise<Buffer> => {
    const response = await askByTcp(parseServer(zones.servers[0] ?? ''), query.bytes, 2000);
    return Buffer.from(response.bytes);
  };
  const publish = (options: PublishOptions = {}) =>
    publishTxt(zone, { name: `s${++count}._domainkey.example.com`, value: KEY, ttl: 60 }, options).then(
      () => 'published',
      (error: Error & { code?: string }) => `${error.code}: ${error.message}`,
    );

  /** Where the TSIG record begins, the last one. */
  const tsigStart = (answer: Buffer) => decodeMessage(answer).additionals.at(-1)?.start ?? 0;
  /** Behind the owner `sealpost`, fixed fields, and the algorithm name: time, fudge, MAC size. */
  const timeStart = (answer: Buffer) => tsigStart(answer) + 'sealpost'.length + 2 + 10 + 'hmac-sha256'.length + 2;

  test('unchanged it is taken', async () => {
    between.handler = forward;
    assert.equal(await publish(), 'published');
    assert.deepEqual(await zones.txt(0, `s${count}._domainkey.example.com`), [KEY]);
  });

  test('with any bit changed it is not', async () => {
    let length = 1;
    for (let at = 0; at < length; at++) {
      between.handler = async (query) => {
        const answer = await forward(query);
        if (query.opcode === Opcode.QUERY) return answer;
        length = answer.length;
        answer.writeUInt8((answer[at] ?? 0) ^ (1 << (at % 5)), at);
        return answer;
      };
      assert.match(await publish(), /^dns-(failed|refused): zone example\.com at /, `byte ${at} of ${length}`);
    }
    assert.ok(length > 80, `${length} bytes`);
  });

  test('a server that signs answers to updates alone is enough', async () => {
    between.handler = async (query) => {
      const answer = await forward(query);
      return query.opcode === Opcode.QUERY ? unsigned(answer) : answer;
    };
    assert.equal(await publish(), 'published');
  });

  const unsigned = (answer: Buffer): Buffer => {
    const bare = answer.subarray(0, tsigStart(answer));
    bare.writeUInt16BE(0, 10);
    return bare;
  };

  test('without its signature it is not', async () => {
    between.handler = async (query) => unsigned(await forward(query));
    assert.match(await publish(), /^dns-failed: .*answers without a signature/);
  });

  test('with a shortened MAC it is not', async () => {
    between.handler = async (query) => {
      const answer = await forward(query);
      const mac = timeStart(answer) + 10;
      const rdlength = tsigStart(answer) + 'sealpost'.length + 2 + 8;
      assert.equal(answer.readUInt16BE(mac - 2), 32);
      answer.writeUInt16BE(16, mac - 2);
      answer.writeUInt16BE(answer.readUInt16BE(rdlength) - 16, rdlength);
      return Buffer.concat([answer.subarray(0, mac + 16), answer.subarray(mac + 32)]);
    };
    assert.match(await publish(), /^dns-failed: .*wrong signature/);
  });

  test('an answer to another update is not', async () => {
    let first: Buffer | undefined;
    between.handler = async (query) => {
      if (query.opcode === Opcode.QUERY) return forward(query);
      first ??= await forward(query);
      const answer = Buffer.from(first);
      answer.writeUInt16BE(query.id, 0);
      return answer;
    };
    await publish();
    assert.match(await publish(), /^dns-failed: .*wrong signature/);
  });

  test('one that comes after ten minutes is not', async () => {
    between.handler = forward;
    let asked = 0;
    assert.match(
      await publish({ now: () => Date.now() + (asked++ < 3 ? 0 : 600_000) }),
      /^dns-failed: .*a time that differs by -60\d s/,
    );
  });

  test('silence, rubbish and a closed connection have failed for now', async () => {
    for (const [handler, message] of [
      [() => undefined, SILENT],
      [() => Buffer.from('rubbish'), /is not a DNS message/],
      [() => 'close', /closed the connection|ECONNRESET/],
      [(query: Query) => query.bytes, /a question came instead of an answer/],
    ] as [FakeDns['handler'], RegExp][]) {
      between.handler = handler;
      const result = await publish(message === SILENT ? { timeoutMs: 200 } : {});
      assert.match(result, /^dns-failed/);
      assert.match(result, message);
    }
  });
});
