import { Class, type DnsRecord, Rcode, Type } from '#shared/dns/message.ts';
import { encodeName, escapedName } from '#shared/dns/name.ts';
import type { VectorRecord, VectorZone } from '#test/kit/authenticity/vectors.ts';
import { answerTo, FakeDns } from './fake-dns.ts';

const SERVFAIL = 2;

/** A name server that serves the zone of test vectors, and NXDOMAIN for all else. */
export async function startVectorServer(zone: VectorZone): Promise<FakeDns> {
  const names = new Map(Object.entries(zone).map(([name, records]) => [escapedName(name).toLowerCase(), records]));
  return await FakeDns.start((query) => {
    const [question] = query.questions;
    if (question === undefined) return answerTo(query, { rcode: Rcode.FORMERR });
    const name = question.name.toLowerCase();
    const known = names.get(name);
    if (known === 'TIMEOUT') return [];
    if (known === 'SERVFAIL') return answerTo(query, { rcode: SERVFAIL });
    if (known === undefined || known === 'NXDOMAIN') {
      // A name with names below it is there (RFC 8020).
      const isThere = [...names.keys()].some((other) => other.endsWith(`.${name}`));
      return answerTo(query, { rcode: isThere ? Rcode.NOERROR : Rcode.NXDOMAIN });
    }
    const answers = chain(names, name, question.type);
    if (answers.length === 0 && known.includes('TIMEOUT')) return [];
    // As a server does that puts no more into a datagram than every path carries.
    const response = answerTo(query, { answers });
    if (query.transport === 'udp' && response.length > 1232) return answerTo(query, { truncated: true });
    return response;
  });
}

/** The records of a name, or its alias and those of the name that this leads to. */
function chain(names: Map<string, VectorZone[string]>, name: string, type: number, depth = 0): DnsRecord[] {
  const known = names.get(name.toLowerCase());
  if (typeof known !== 'object' || depth > 20) return [];
  const records = known.flatMap((record) => (record === 'TIMEOUT' ? [] : [encode(name, record)]));
  const found = records.filter((record) => record !== undefined && record.type === type);
  if (found.length > 0) return found.filter((record) => record !== undefined);
  const alias = known.find((record) => record !== 'TIMEOUT' && record[0] === 'CNAME');
  if (alias === undefined || alias === 'TIMEOUT') return [];
  const target = String(alias[1]).replace(/\.$/, '');
  const own = encode(name, alias);
  return [...(own === undefined ? [] : [own]), ...chain(names, target, type, depth + 1)];
}

function encode(name: string, record: Exclude<VectorRecord, 'TIMEOUT'>): DnsRecord | undefined {
  const [kind, value] = record;
  const rdata = encodeData(kind, value);
  const type = Type[kind as keyof typeof Type];
  return rdata === undefined || type === undefined ? undefined : { name, type, class: Class.IN, ttl: 60, rdata };
}

function encodeData(kind: string, value: string | string[] | [number, string]): Buffer | undefined {
  if (kind === 'TXT') return value === 'NONE' ? undefined : encodeTexts(value as string | string[]);
  if (kind === 'MX') {
    const [preference, host] = value as [number, string];
    const head = Buffer.alloc(2);
    head.writeUInt16BE(preference);
    return Buffer.concat([head, encodeName(host.replace(/\.$/, ''))]);
  }
  if (kind === 'A') return Buffer.from(String(value).split('.').map(Number));
  if (kind === 'AAAA') return encodeSix(String(value));
  if (kind === 'CNAME' || kind === 'PTR') return encodeName(String(value).replace(/\.$/, ''));
  return undefined;
}

function encodeTexts(value: string | string[]): Buffer {
  const texts = typeof value === 'string' ? (value.match(/.{1,255}/gs) ?? ['']) : value;
  const all = texts.length === 0 ? [''] : texts;
  return Buffer.concat(all.flatMap((text) => [Buffer.from([text.length]), Buffer.from(text, 'latin1')]));
}

function encodeSix(address: string): Buffer {
  const [head = '', tail] = address.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const middle = Array.from({ length: tail === undefined ? 0 : 8 - front.length - back.length }, () => '0');
  return Buffer.from([...front, ...middle, ...back].map((group) => group.padStart(4, '0')).join(''), 'hex');
}
