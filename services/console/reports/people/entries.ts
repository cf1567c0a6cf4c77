import type { DirectoryEntry, EntryOf } from '#shared/directory/entries.ts';
import { ENTRY_KINDS } from '#shared/directory/records.ts';
import type { CredentialStore } from '../keys/key-list.ts';

/** Entries of the cluster's directory. */

export type Entries<Kind extends DirectoryEntry['kind']> = {
  /** In the order of their names. */
  entries: EntryOf<Kind>[];
  /** Who answered, and why it may not know the newest. */
  node: string;
  behind?: string | undefined;
};

/** All of a kind. */
export async function allEntries<Kind extends DirectoryEntry['kind']>(
  store: CredentialStore,
  kind: Kind,
): Promise<Entries<Kind>> {
  const first = await store['entry-list']({ kind });
  const entries = [...first.entries];
  for (let after = first.next; after !== undefined; ) {
    const page = await store['entry-list']({ kind, after });
    entries.push(...page.entries);
    after = page.next;
  }
  return { entries: entries as EntryOf<Kind>[], node: first.node, behind: first.behind };
}

/** Whether the directory has no entry at all: the first makes all recipients of local domains subject to it. */
export async function isEmpty(store: CredentialStore): Promise<boolean> {
  for (const kind of ENTRY_KINDS) {
    if ((await store['entry-list']({ kind })).entries.length > 0) return false;
  }
  return true;
}
