import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { checkRecord, type DnsVerdict } from '#services/credential-store/dns/proof.ts';
import { decodeMessage, encodeMessage, nameOf, Type } from '#shared/dns/message.ts';
import { decodeName, encodeName } from '#shared/dns/name.ts';
import { parseServer, serverText } from '#shared/dns/server.ts';
import { txtOf } from '#shared/dns/txt.ts';
import { errorCode } from '#shared/errors.ts';
import { answerTo, FakeDns, pointer, txt } from '#test/kit/dns/fake-dns.ts';
import { processorMs } from '#test/kit/processor-time.ts';
import { seededRandom } from '#test/kit/random.ts';

const NAME = 's1._domainkey.example.com';
const question = { name: NAME, type: Type.TXT };

/** A response as BIND writes it: with pointers, an alias, records in all sections. */
const COMPRESSED = Buffer.from(
  '123485000001000200010001027331076578616d706c6503636f6d0000100001c00c00050001000000010005027332c00fc02c0010000100000001000403616263c00f00020001000000010005026e73c00f0000290000000000000000',
  'hex',
);

function outcome(bytes: Buffer): string {
  try {
    const message = decodeMessage(bytes);
    for (const record of message.answers) if (record.type === Type.TXT) txtOf(record);
    return 'decoded';
  } catch (error) {
    return errorCode(error) ?? String(error);
  }
}

test('what is written is read again', () => {
  const answers = [txt(NAME, 'a', 'b'.repeat(255)), pointer(Type.CNAME, 'x.example', 'y.example')];
  const bytes = encodeMessage({ id: 0xabcd, opcode: 5, question, answers, additionals: [txt('', '')] });
  const message = decodeMessage(bytes);
  assert.deepEqual([message.id, message.opcode, message.rcode, message.authoritative], [0xabcd, 5, 0, false]);
  assert.deepEqual(message.questions, [question]);
  assert.deepEqual(
    message.answers.map(({ name, type, ttl }) => [name, type, ttl]),
    [
      [NAME, Type.TXT, 60],
      ['x.example', Type.CNAME, 60],
    ],
  );
  assert.equal(message.answers[0] && txtOf(message.answers[0]), `a${'b'.repeat(255)}`);
  assert.deepEqual(message.authorities, []);
  assert.equal(message.additionals[0]?.name, '');
});

test('pointers are followed', () => {
  const message = decodeMessage(COMPRESSED);
  assert.deepEqual(
    [...message.answers, ...message.authorities, ...message.additionals].map((r) => r.name),
    ['s1.example.com', 's2.example.com', 'example.com', ''],
  );
  assert.deepEqual(message.answers.slice(1).map(txtOf), ['abc']);
});

test('a label with a dot, a backslash or an unprintable byte is distinguished from others', () => {
  const label = Buffer.from('a.b\\ \xff', 'latin1');
  const bytes = Buffer.concat([Buffer.from([label.length]), label, Buffer.from('\x01X\x00', 'latin1')]);
  assert.deepEqual(decodeName(bytes, 0), { name: 'a\\046b\\092\\032\\255.x', end: bytes.length });
});

const longest = `${'x'.repeat(63)}.`.repeat(3) + 'x'.repeat(61);
test('names at their limits', () => {
  assert.deepEqual(decodeName(encodeName(longest), 0).name, longest);
  assert.equal(encodeName(longest).length, 255);
  for (const name of [`${longest}x`, 'x'.repeat(64), 'a..b', '.', 'a.', 'a b', 'ä']) {
    assert.throws(() => encodeName(name), { code: 'dns-name' }, name);
  }
});

/** A header with these counts, and what follows it. */
const raw = (counts: number[], ...rest: (string | Buffer)[]): Buffer => {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(0x8400, 2);
  for (const [i, count] of counts.entries()) header.writeUInt16BE(count, 4 + 2 * i);
  return Buffer.concat([header, ...rest.map((r) => (typeof r === 'string' ? Buffer.from(r, 'hex') : r))]);
};

const HOSTILE: [string, Buffer][] = [
  ['nothing', Buffer.alloc(0)],
  ['half a header', Buffer.alloc(11)],
  ['more questions than there are', raw([65_535])],
  ['more records than there are', raw([0, 65_535, 65_535, 65_535])],
  ['a pointer to itself', raw([1], 'c00c00100001')],
  ['two pointers to each other', raw([1], 'c00ec00c00100001')],
  ['a pointer ahead', raw([1], 'c01000100001')],
  ['a pointer out of the message', raw([1], 'ffff00100001')],
  ['half a pointer', raw([1], 'c0')],
  ['a label that extends beyond the end', raw([1], '3f61')],
  ['a label of a reserved kind', raw([1], '4161000010001')],
  ['a name without an end', raw([1], Buffer.alloc(300, '\x01x'))],
  ['a record whose data extends beyond the end', raw([0, 1], '00001000010000000000ff00')],
];
for (const [what, bytes] of HOSTILE) {
  test(`no message: ${what}`, () => assert.equal(outcome(bytes), 'dns-malformed'));
}

test('bytes after the end of a message are ignored', () =>
  assert.equal(outcome(Buffer.concat([raw([0]), Buffer.alloc(1)])), 'decoded'));

test('the upper bits of a response code are those of the OPT record', () => {
  assert.equal(decodeMessage(raw([0, 0, 0, 1], '000029100001000000', '0000')).rcode, 16);
});

/** A message with as many names, each of which points to the end of a chain of as many pointers. */
function chained(pointers: number, names: number): Buffer {
  const chain = Buffer.alloc(2 * pointers);
  // The first points to the root name of the record that carries the chain, the others to the one before.
  for (let i = 0; i < pointers; i++) chain.writeUInt16BE(0xc000 | (i === 0 ? 12 : 23 + 2 * (i - 1)), 2 * i);
  const carrier = Buffer.from('0000010001000000000000', 'hex');
  carrier.writeUInt16BE(chain.length, 9);
  const last = Buffer.from('0000000100010000000000000000', 'hex').subarray(0, 12);
  last.writeUInt16BE(0xc000 | (23 + 2 * (pointers - 1)), 0);
  return raw([0, names + 1], carrier, chain, ...Array.from({ length: names }, () => last));
}

test('a name may be a chain of pointers, up to a length, and many of them cost no time', () => {
  const took = processorMs(() => {
    assert.equal(outcome(chained(200, 5000)), 'decoded');
    assert.equal(outcome(chained(300, 1)), 'dns-malformed');
  });
  assert.ok(took < 5000, `${took} ms`);
});

test('thousands of records that point to a long name cost no time either', () => {
  const long = encodeMessage({ id: 1, opcode: 0, question: { name: Array(126).fill('a').join('.'), type: Type.PTR } });
  const records = Array.from({ length: 4600 }, () => Buffer.from('c00c000c0001000000ff0002c00c', 'hex'));
  const bytes = Buffer.concat([long, ...records]);
  bytes.writeUInt16BE(records.length, 6);
  const took = processorMs(() => {
    for (let round = 0; round < 10; round++) {
      const message = decodeMessage(bytes);
      assert.equal(message.answers.map((record) => nameOf(message, record)).at(-1)?.length, 251);
    }
  });
  assert.ok(took < 4000, `${took} ms`);
});

test('whatever the bytes are, they are decoded or malformed', () => {
  const random = seededRandom(6376);
  const seen = new Map<string, number>();
  const models = [COMPRESSED, encodeMessage({ id: 1, opcode: 0, question, answers: [txt(NAME, 'abc', 'def')] })];
  for (let round = 0; round < 20_000; round++) {
    let bytes = Buffer.from(models[round % 2] as Buffer);
    for (let flips = Math.floor(random() * 6); flips >= 0; flips--) {
      bytes[Math.floor(random() * bytes.length)] = random() < 0.3 ? 0xc0 : Math.floor(random() * 256);
    }
    if (random() < 0.2) bytes = bytes.subarray(0, Math.floor(random() * bytes.length));
    const result = outcome(bytes);
    seen.set(result, (seen.get(result) ?? 0) + 1);
  }
  assert.deepEqual([...seen.keys()].toSorted(), ['decoded', 'dns-malformed']);
});

describe('a server that sends rubbish', () => {
  let server: FakeDns;
  before(async () => {
    server = await FakeDns.start(() => undefined);
  });
  after(() => server[Symbol.asyncDispose]());

  test('gets a verdict, by UDP and by TCP', async () => {
    const random = seededRandom(8463);
    server.handler = (query) => {
      if (query.transport === 'udp' && query.id % 2 === 0) return answerTo(query, { truncated: true });
      const bytes = answerTo(query, { answers: [txt(NAME, 'v=DKIM1; k=ed25519; p=AAAA')] });
      const kind = random();
      if (kind < 0.1) return Buffer.alloc(65_000, query.id);
      if (kind < 0.2) return Buffer.alloc(0);
      if (kind < 0.3) return 'close';
      for (let i = 0; i < 4; i++) bytes[2 + Math.floor(random() * (bytes.length - 2))] = Math.floor(random() * 256);
      return bytes;
    };
    const config = {
      servers: [],
      timeout: 200,
      dnssec: false,
      zones: [{ name: 'example.com', servers: [server.server] }],
    };
    const expected = { kind: 'key', algorithm: 'ed25519', publicKey: 'BBBB' } as const;
    const verdicts: DnsVerdict[] = [];
    for (let round = 0; round < 6; round++) {
      const batch = Array.from({ length: 30 }, () => checkRecord(config, NAME, expected));
      verdicts.push(...(await Promise.all(batch)));
    }
    assert.ok(verdicts.every((v) => v.verdict !== 'ok'));
    const kinds = new Set(verdicts.map((v) => v.verdict));
    assert.ok(kinds.has('malformed') && kinds.has('unreachable'), [...kinds].join());
    assert.ok(verdicts.every((v) => /^[\x20-\x7e…§]*$/.test(v.summary)));
  });
});

test('addresses of servers, as they are configured', () => {
  for (const [text, address, port, shown] of [
    ['192.0.2.53', '192.0.2.53', 53, '192.0.2.53:53'],
    ['192.0.2.53:5353', '192.0.2.53', 5353, '192.0.2.53:5353'],
    ['2001:db8::53', '2001:db8::53', 53, '[2001:db8::53]:53'],
    ['[2001:db8::53]:5353', '2001:db8::53', 5353, '[2001:db8::53]:5353'],
    ['[2001:db8::53]', '2001:db8::53', 53, '[2001:db8::53]:53'],
  ] as const) {
    assert.deepEqual(parseServer(text), { address, port });
    assert.equal(serverText(parseServer(text)), shown);
  }
});
