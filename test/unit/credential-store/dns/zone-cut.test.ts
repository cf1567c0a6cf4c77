import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cutBelow } from '#services/credential-store/dns/zone-cut.ts';
import { Class, type DnsRecord, decodeMessage, encodeMessage, Type } from '#shared/dns/message.ts';
import { pointer } from '#test/kit/dns/fake-dns.ts';

/** Whose zone a name is in, by what a server of example.com answers when it is asked for the SOA record of the name. */

const NAME = 's1._domainkey.example.com';
const CUT = '_domainkey.example.com';
const soa = (name: string): DnsRecord => ({ name, type: Type.SOA, class: Class.IN, ttl: 60, rdata: Buffer.alloc(22) });

type Answer = { rcode?: number; authoritative?: boolean; answers?: DnsRecord[]; authorities?: DnsRecord[] };

const CASES: [what: string, answer: Answer, cut: RegExp | undefined][] = [
  ['no record, in the zone itself', { rcode: 3, authorities: [soa('example.com')] }, undefined],
  [
    'no record, in a zone that the server has too',
    { rcode: 3, authorities: [soa(CUT)] },
    /is in _domainkey\.example\.com, which is a zone of its own: add it/,
  ],
  ['the name is a zone', { answers: [soa(NAME)] }, /a zone of its own/],
  [
    'a referral',
    { authoritative: false, authorities: [pointer(Type.NS, CUT, 'ns2.example.net')] },
    /a zone of its own at ns2\.example\.net/,
  ],
  [
    'a referral upwards, of a server without the zone',
    { authoritative: false, authorities: [pointer(Type.NS, 'com', 'a.example')] },
    undefined,
  ],
  ['name servers of another zone below', { authorities: [soa('other.example.com')] }, undefined],
  [
    'everything below is elsewhere',
    { answers: [pointer(Type.DNAME, CUT, 'keys.example.net')] },
    /_domainkey\.example\.com is an alias for everything below it/,
  ],
  [
    'an alias, whose target is in another zone',
    { answers: [pointer(Type.CNAME, NAME, 's1.example.net')], authorities: [soa('example.net')] },
    undefined,
  ],
  ['a refusal', { rcode: 5, authorities: [soa(CUT)] }, undefined],
  ['no word of a zone', { rcode: 3 }, undefined],
];

for (const [what, { rcode = 0, authoritative = true, ...sections }, cut] of CASES) {
  test(`a record below a zone cut is not written into the parent: ${what}`, () => {
    const bytes = encodeMessage({ id: 1, opcode: 0, question: { name: NAME, type: Type.SOA }, ...sections });
    bytes.writeUInt16BE(0x8000 | (authoritative ? 0x0400 : 0) | rcode, 2);
    const text = cutBelow('example.com', NAME, decodeMessage(bytes));
    if (cut === undefined) assert.equal(text, undefined);
    else assert.match(text ?? '', cut);
  });
}
