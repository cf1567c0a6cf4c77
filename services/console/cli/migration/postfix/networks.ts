import { isIP } from 'node:net';
import { normalizeDomain } from '#shared/address/address.ts';
import { parseNetwork } from '#shared/address/ip-address.ts';
import type { Tables } from './files/lookup-table.ts';

/** Lists of networks, hosts and domains as Postfix writes them, as entries of Sealpost's lists. */

/** An entry, and whether `!` stands before it. `unread`: why it is none. */
export type ListEntry = { text: string; not: boolean; entry: string } | { text: string; unread: string };

/** An entry of mynetworks, in which a name means nothing: `10.0.0.0/8`, `[2001:db8::]/32`, an address. */
export function networkEntry(text: string): string | undefined {
  const plain = text.replace(/^\[([^\]]*)\]/, '$1');
  return parseNetwork(plain) === undefined ? undefined : plain;
}

/** The key of an access table for clients: a network, `192.168.`, an address, or a name. */
export function hostEntry(text: string): string | undefined {
  const network = networkEntry(text);
  if (network !== undefined) return network;
  const plain = text.replace(/^\[([^\]]*)\]/, '$1');
  if (/^\d{1,3}(?:\.\d{1,3}){0,2}\.?$/.test(plain)) {
    const octets = plain.replace(/\.$/, '').split('.');
    const network = `${[...octets, '0', '0', '0'].slice(0, 4).join('.')}/${8 * octets.length}`;
    return parseNetwork(network) === undefined ? undefined : network;
  }
  return isIP(plain) === 0 ? domainEntry(plain) : undefined;
}

/** `example.com` or `.example.com`: a domain in Sealpost's lists has everything below it. */
export function domainEntry(text: string): string | undefined {
  const name = normalizeDomain(text.replace(/^\./, ''));
  const fits = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/.test(name);
  return fits && !/(?:^|\.)\d+$/.test(name) && name.length <= 253 ? name : undefined;
}

/**
 * The entries of a list; a file or a table in it is read. Of a table only the keys count, `DUNNO` and `no` apart.
 */
export async function listEntries(
  list: readonly string[],
  tables: Tables,
  parse: (text: string) => string | undefined,
): Promise<ListEntry[]> {
  const entries: ListEntry[] = [];
  for (const word of list) {
    const not = word.startsWith('!');
    const text = not ? word.slice(1) : word;
    const found = /^\w+:(?![:\d])|^\//.test(text) ? await wordsOf(text, tables) : [text];
    if ('unread' in found) entries.push({ text: word, unread: found.unread });
    else {
      for (const item of found) {
        const entry = parse(item);
        const why = `"${item}" is not an entry of such a list here`;
        entries.push(entry === undefined ? { text: word, unread: why } : { text: item, not, entry });
      }
    }
  }
  return entries;
}

async function wordsOf(text: string, tables: Tables): Promise<string[] | { unread: string }> {
  if (text.startsWith('/')) return tables.lines(text);
  if (/^static:/.test(text)) return { unread: 'static: is an answer to everything' };
  const table = await tables.read(text);
  return 'unread' in table ? table : table.rows.filter((r) => !/^(?:dunno|no)\b/i.test(r.value)).map((r) => r.key);
}

/** A network so large that it is most of the net. */
export function isEverybody(entry: string): boolean {
  if (entry === '*') return true;
  const [base, bits = 128] = parseNetwork(entry) ?? [];
  return base !== undefined && bits < (base.kind() === 'ipv4' ? 8 : 16);
}
