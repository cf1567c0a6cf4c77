import type { Tables } from './files/lookup-table.ts';

/** Lists of networks, hosts and domains as Postfix writes them, as entries of Sealpost's lists. */

/** An entry, and whether `!` stands before it. `unread`: why it is none. */
export type ListEntry = { text: string; not: boolean; entry: string } | { text: string; unread: string };

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
