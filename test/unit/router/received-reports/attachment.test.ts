import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deflateRawSync, gzipSync } from 'node:zlib';
import { reportAttachment } from '#services/router/received-reports/attachment.ts';
import { unpack } from '#services/router/received-reports/unpack.ts';
import { Unreadable } from '#services/router/received-reports/unreadable.ts';
import { reportMail, reportXml } from '#test/kit/dmarc/reports.ts';

const XML = reportXml();

/** What is in the attachment of a message that comes in pieces of this size. */
async function xmlOf(message: Buffer | string, piece = 1000): Promise<string> {
  const bytes = Buffer.from(message);
  const pieces = Array.from({ length: Math.ceil(bytes.length / piece) }, (_, n) =>
    bytes.subarray(n * piece, (n + 1) * piece),
  );
  return Buffer.concat(await Array.fromAsync(unpack(await reportAttachment(pieces)))).toString();
}

/** An archive with one file, as far as it is read. `streamed`: its sizes stand behind it. */
function zip(data: Buffer, { method = 8, flags = 0, streamed = false } = {}): Buffer {
  const packed = method === 8 ? deflateRawSync(data) : data;
  const head = Buffer.alloc(30);
  head.write('PK\x03\x04', 'latin1');
  head.writeUInt16LE(flags | (streamed ? 8 : 0), 6);
  head.writeUInt16LE(method, 8);
  head.writeUInt32LE(streamed ? 0 : packed.length, 18);
  head.writeUInt16LE(5, 26);
  head.writeUInt16LE(4, 28);
  return Buffer.concat([head, Buffer.from('a.xml1234'), packed, Buffer.from('PK\x01\x02 and so on')]);
}

describe('the XML is found', () => {
  const plain = (type: string, encoding: string, text: string): string =>
    `Content-Type: ${type}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n${text}`;
  const quoted = XML.replace(/=/g, '=3D')
    .replace(/\n/g, '\r\n')
    .replace(/Receiver/g, 'Recei=\r\nver');
  const inner = reportMail(XML).toString();
  const forwarded = `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n${inner}\r\n--b--\r\n`;
  const cases: [string, Buffer | string][] = [
    ['in gzip', reportMail(XML)],
    ['in gzip that calls itself ZIP', reportMail(gzipSync(XML), 'application/zip', 'a.zip')],
    ['in octets', reportMail(gzipSync(XML), 'application/octet-stream', 'a.xml.gz')],
    ['in ZIP', reportMail(zip(Buffer.from(XML)), 'application/zip', 'a.zip')],
    ['in ZIP that was streamed', reportMail(zip(Buffer.from(XML), { streamed: true }), 'application/x-zip', 'a.zip')],
    ['in ZIP, stored', reportMail(zip(Buffer.from(XML), { method: 0 }), 'application/zip', 'a.zip')],
    ['as text/xml', reportMail(Buffer.from(XML), 'text/xml', 'a.xml')],
    ['as text with the name of XML', reportMail(Buffer.from(XML), 'text/plain', 'a.XML')],
    ['as the whole body', plain('application/xml', '8bit', XML.replace(/\n/g, '\r\n'))],
    ['in quoted-printable', plain('text/xml', 'Quoted-Printable', quoted)],
    ['in a forwarded message', forwarded],
  ];
  for (const [title, message] of cases) {
    test(title, async () => {
      for (const piece of [1, 77, 100_000]) assert.equal((await xmlOf(message, piece)).replace(/\r/g, ''), XML);
    });
  }
});

describe('refused', () => {
  const bomb = gzipSync(Buffer.alloc(65 * 1024 * 1024, ' '));
  const cut = gzipSync(XML).subarray(0, 100);
  const cases: [string, Buffer | string, RegExp][] = [
    ['no attachment', 'Subject: Hello\r\n\r\nWhat is this address for?\r\n', /no attachment/],
    [
      'an attachment of something else',
      reportMail(Buffer.from('%PDF-1.7'), 'application/pdf', 'a.pdf'),
      /no attachment/,
    ],
    ['a large attachment', reportMail(Buffer.alloc(12 * 1024 * 1024, 'x'), 'application/gzip'), /larger than 14 MB/],
    ['a bomb of gzip', reportMail(bomb), /unpacks to more than 64 MB/],
    ['a bomb of ZIP', reportMail(zip(Buffer.alloc(65 * 1024 * 1024))), /unpacks to more than 64 MB/],
    ['gzip that is cut off', reportMail(cut), /gzip is damaged/],
    ['ZIP that is cut off', reportMail(Buffer.from('PK\x03\x04 and')), /cut off/],
    ['ZIP of rubbish', reportMail(zip(Buffer.from(XML), { method: 0, streamed: true })), /in a way that is not read/],
    ['ZIP that is encrypted', reportMail(zip(Buffer.from(XML), { flags: 1 })), /encrypted/],
    [
      'parts without end',
      `Content-Type: multipart/mixed; boundary=b\r\n\r\n${'--b\r\n\r\nx\r\n'.repeat(200)}`,
      /too many parts/,
    ],
  ];
  for (const [title, message, why] of cases) {
    test(title, async () => {
      const failure = xmlOf(message, 32_768);
      await assert.rejects(failure, (error) => error instanceof Unreadable && why.test(error.message));
    });
  }
});

test('an attachment in lines of one byte takes no more memory than it has bytes', async () => {
  const lines = Buffer.from('x\r\n'.repeat(20_000));
  const before = process.memoryUsage();
  let more = 0;
  function* message(): Generator<Buffer> {
    yield Buffer.from('Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n');
    for (let n = 0; n < 200; n++) yield lines;
    const { heapUsed, external } = process.memoryUsage();
    more = heapUsed + external - before.heapUsed - before.external;
  }
  await assert.rejects(reportAttachment(message()), /no attachment/);
  assert.ok(more < 150 * 1024 * 1024, `${more} bytes for ${200 * lines.length}`);
});
