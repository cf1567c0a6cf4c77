import { DELIMITER, mailboxKey, withoutTag } from '#shared/address/canonical-address.ts';

/** Where each alias leads, by `mailboxKey`. */
export type Aliases = { get(key: string): readonly string[] | undefined };

/** More addresses than this are for a mailing list. */
const MAX_RESULTS = 1000;

/**
 * Follow an alias through aliases of aliases to the addresses it stands for, each once, in the order of the file.
 *
 * `aliases` is by `mailboxKey`. An alias met again is not followed again, so a loop ends. Where an alias names
 * itself it means the mailbox of that name: `alice: [alice, bob]` keeps a copy and forwards one. The name of a group, which
 * has no `@`, is not a mailbox. Not ok: an alias that
 * leads only to itself through others, or to more than 1000 addresses.
 */
export function expandAlias(
  alias: string,
  aliases: Aliases,
  delimiter = DELIMITER,
): { ok: true; addresses: string[] } | { ok: false; message: string } {
  const results = new Map<string, string>();
  const followed = new Set<string>([alias]);
  const work = [...(aliases.get(alias) ?? [])].map((address) => ({ address, from: alias })).reverse();
  for (let next = work.pop(); next !== undefined; next = work.pop()) {
    const { address, from } = next;
    const key = aliasFor(address, aliases, delimiter);
    const isName = key?.includes('@') === false;
    if (key === undefined || (key === from && !isName)) results.set(mailboxKey(address), address);
    else if (!followed.has(key)) {
      followed.add(key);
      for (const target of (aliases.get(key) ?? []).toReversed()) work.push({ address: target, from: key });
    }
    if (results.size > MAX_RESULTS || followed.size > MAX_RESULTS) {
      return { ok: false, message: `leads to more than ${MAX_RESULTS} addresses: use a mailing list` };
    }
  }
  if (results.size === 0) return { ok: false, message: 'leads only back to itself: name the mailbox where it ends' };
  return { ok: true, addresses: [...results.values()] };
}

/** The alias that an address is, by itself or without its tag. */
export function aliasFor(address: string, aliases: Aliases, delimiter = DELIMITER): string | undefined {
  const key = mailboxKey(address);
  if (aliases.get(key) !== undefined) return key;
  const base = withoutTag(key, delimiter);
  return base !== undefined && aliases.get(base) !== undefined ? base : undefined;
}
