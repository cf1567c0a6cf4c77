import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isProxyHeader, readProxyHeader } from '#services/listener/parsers/proxy-header.ts';

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
/** A header of version 2; `length` where the header lies about it. */
const binary = (command: number, family: number, octets: number[], length = octets.length): Buffer =>
  Buffer.concat([SIGNATURE, Buffer.from([command, family, length >> 8, length & 255, ...octets])]);
const V4 = [192, 0, 2, 7, 198, 51, 100, 1, 156, 64, 0, 25];
const V6 = [
  0x20,
  0x01,
  0x0d,
  0xb8,
  ...Array(11).fill(0),
  7,
  0x20,
  0x01,
  0x0d,
  0xb8,
  ...Array(11).fill(0),
  1,
  1,
  0,
  0,
  25,
];
const MAPPED = [...Array(10).fill(0), 255, 255, 192, 0, 2, 7, ...Array(20).fill(0)];
const UNIX = Array(216).fill(0x2f);
const TLV = [0x20, 0, 5, 1, 0, 0, 0, 0, 0xee, 0, 0];

/** An address, undefined for the proxy's own, or what is wrong. */
const HEADERS: [bytes: Buffer, expected: string | undefined | RegExp, why: string][] = [
  [Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n'), '192.0.2.7', 'version 1'],
  [Buffer.from('PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 40000 25\r\n'), '192.0.2.7', 'version 1, a mapped address'],
  [Buffer.from('PROXY UNKNOWN\r\n'), undefined, 'version 1, unknown'],
  [Buffer.from('PROXY TCP4 2001:db8::7 2001:db8::1 40000 25\r\n'), /its line is not/, 'version 1, another family'],
  [Buffer.from(`PROXY TCP4 ${'1'.repeat(120)}`), /longer than 107 bytes/, 'version 1, without an end'],
  [Buffer.from('EHLO client.test\r\n'), /does not begin with one/, 'none'],
  [Buffer.from('\r\nEHLO'), /does not begin with one/, 'an empty line'],
  [binary(0x21, 0x11, V4), '192.0.2.7', 'IPv4'],
  [binary(0x21, 0x21, V6), '2001:db8::7', 'IPv6'],
  [binary(0x21, 0x21, MAPPED), '192.0.2.7', 'a mapped address'],
  [binary(0x21, 0x11, [...V4, ...TLV]), '192.0.2.7', 'extensions'],
  [binary(0x21, 0x11, [...V4, 1, 255, 255]), '192.0.2.7', 'an extension that claims to be longer than the header'],
  [binary(0x21, 0x11, [...V4, ...Array(4000).fill(0)]), '192.0.2.7', 'many extensions'],
  [binary(0x20, 0x11, V4), undefined, 'LOCAL, whatever addresses it names'],
  [binary(0x20, 0x77, []), undefined, 'LOCAL, of any family'],
  [binary(0x21, 0x00, []), undefined, 'UNSPEC'],
  [binary(0x21, 0x31, UNIX), undefined, 'a UNIX socket'],
  [binary(0x21, 0x31, UNIX.slice(1)), /too short for the addresses of a UNIX stream/, 'a short UNIX socket'],
  [binary(0x21, 0x11, V4.slice(1)), /too short for the addresses of TCP over IPv4/, 'short'],
  [binary(0x21, 0x21, V4), /too short for the addresses of TCP over IPv6/, 'IPv6 with addresses of IPv4'],
  [binary(0x21, 0x12, V4), /its protocol is 0x12, not TCP/, 'UDP'],
  [binary(0x21, 0x41, V4), /its protocol is 0x41, not TCP/, 'no family'],
  [binary(0x22, 0x11, V4), /its command is 2, not LOCAL or PROXY/, 'no command'],
  [binary(0x11, 0x11, V4), /says that it is of version 1/, 'a binary header of version 1'],
  [binary(0x31, 0x11, V4), /says that it is of version 3/, 'a version to come'],
  [binary(0x21, 0x11, V4, 5000), /it has 5016 bytes, more than 4096/, 'oversized, before it has come'],
];

for (const [bytes, expected, why] of HEADERS) {
  test(`PROXY header, ${why}`, () => {
    const header = readProxyHeader(
      Buffer.concat([bytes, expected instanceof RegExp ? Buffer.alloc(0) : Buffer.from('EHLO')]),
    );
    assert.ok(header !== undefined);
    if (expected instanceof RegExp) assert.match('problem' in header ? header.problem : '', expected);
    else assert.deepEqual(header, { address: expected, length: bytes.length });
  });
}

test('a PROXY header is waited for until it is whole', () => {
  for (const whole of [binary(0x21, 0x11, [...V4, ...TLV]), Buffer.from('PROXY TCP4 192.0.2.7 192.0.2.1 1 25\r\n')]) {
    for (let length = 0; length < whole.length; length++) {
      assert.equal(readProxyHeader(whole.subarray(0, length)), undefined, `${length} bytes`);
    }
    assert.ok(isProxyHeader(whole));
  }
});

test('any bytes behind the signature end in an answer', () => {
  let seed = 1;
  const octet = (): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed & 255;
  };
  for (let i = 0; i < 5000; i++) {
    const header = readProxyHeader(Buffer.concat([SIGNATURE, Buffer.from(Array.from({ length: 300 }, octet))]));
    if (header !== undefined && !('problem' in header)) assert.ok(header.length <= 312);
  }
});
