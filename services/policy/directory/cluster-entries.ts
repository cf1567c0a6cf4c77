import { mailboxKey } from '#shared/address/canonical-address.ts';
import { DirectoryRecord, directoryKey, type GroupRecord, type UserRecord } from '#shared/directory/records.ts';
import { userKey } from '#shared/directory/values.ts';
import { Account, type Verify } from './account.ts';
import type { BlockedUser, Entries, Group } from './directory.ts';

/**
 * The records of the cluster's directory, arranged for look-ups. A change costs the record that changed, however many
 * there are.
 */
export class ClusterEntries implements Entries {
  readonly #verify: (user: UserRecord) => Verify;
  /** Each record as it came, by its key: what came again unchanged costs nothing. */
  readonly #records = new Map<string, { json: string; record: DirectoryRecord | undefined }>();
  readonly #accounts = new Map<string, Account>();
  /** The users that have an address, in the order in which they came; nearly always one. */
  readonly #mailboxes = new Map<string, { user: string; address: string }[]>();
  readonly #aliases = new Map<string, readonly string[]>();
  readonly #groups = new Map<string, Group>();
  readonly #groupsByAddress = new Map<string, Group>();
  readonly #maps = new Map<string, ReadonlyMap<string, string>>();
  /** Keys of records that are damaged, or of a newer version: who is in them is not known. */
  readonly unreadable: Set<string> = new Set();

  constructor(verify: (user: UserRecord) => Verify) {
    this.#verify = verify;
  }

  account(key: string): Account | undefined {
    return this.#accounts.get(key);
  }

  mailbox(key: string): string | undefined {
    return this.#mailboxes.get(key)?.[0]?.address;
  }

  alias(key: string): readonly string[] | undefined {
    return this.#aliases.get(key);
  }

  group(key: string): Group | undefined {
    return this.#groups.get(key);
  }

  groupAt(key: string): Group | undefined {
    return this.#groupsByAddress.get(key);
  }

  map(key: string): ReadonlyMap<string, string> | undefined {
    return this.#maps.get(key);
  }

  /** Its record blocks a user also where it cannot be read. */
  block(key: string): BlockedUser | undefined {
    const held = this.#records.get(directoryKey('block', key));
    if (held === undefined) return undefined;
    return held.record?.kind === 'block' ? held.record : { reason: 'why is not known: its record cannot be read' };
  }

  /** As soon as one recipient is here, all of local domains are expected here. */
  get namesRecipients(): boolean {
    return this.#mailboxes.size > 0 || this.#aliases.size > 0 || this.#groupsByAddress.size > 0;
  }

  get isEmpty(): boolean {
    return this.#records.size === 0;
  }

  get size(): number {
    return this.#records.size;
  }

  /** Keys of all records. */
  keys(): Iterable<string> {
    return this.#records.keys();
  }

  /** A record as the store has it now; undefined where it has none. Answers why it cannot be used, where it cannot. */
  put(key: string, json: string | undefined): string | undefined {
    const before = this.#records.get(key);
    if (before?.json === json) return undefined;
    if (before?.record !== undefined) this.#remove(before.record);
    this.unreadable.delete(key);
    this.#records.delete(key);
    if (json === undefined) return undefined;
    const { record, problem } = parse(json);
    this.#records.set(key, { json, record });
    if (record !== undefined) this.#add(record);
    else if (!key.startsWith(directoryKey('block', ''))) this.unreadable.add(key);
    return problem;
  }

  #add(record: DirectoryRecord): void {
    switch (record.kind) {
      case 'user': {
        const { name, addresses, onBehalfOf } = record;
        const account = new Account({ name, addresses, onBehalfOf, verify: this.#verify(record) });
        this.#accounts.set(userKey(name), account);
        for (const address of account.mailboxes) {
          const key = mailboxKey(address);
          this.#mailboxes.set(key, [...(this.#mailboxes.get(key) ?? []), { user: name, address }]);
        }
        break;
      }
      case 'alias':
        this.#aliases.set(mailboxKey(record.address), record.targets);
        break;
      case 'group':
        this.#groups.set(userKey(record.name), record);
        for (const address of record.addresses) this.#groupsByAddress.set(mailboxKey(address), record);
        break;
      case 'map':
        this.#maps.set(userKey(record.name), new Map(Object.entries(record.entries)));
        break;
      case 'block':
        // Found by its key.
        break;
    }
  }

  #remove(record: DirectoryRecord): void {
    switch (record.kind) {
      case 'user':
        this.#removeUser(record);
        break;
      case 'alias':
        this.#aliases.delete(mailboxKey(record.address));
        break;
      case 'group':
        this.#removeGroup(record);
        break;
      case 'map':
        this.#maps.delete(userKey(record.name));
        break;
      case 'block':
        break;
    }
  }

  #removeUser({ name }: UserRecord): void {
    const account = this.#accounts.get(userKey(name));
    this.#accounts.delete(userKey(name));
    for (const address of account?.mailboxes ?? []) {
      const key = mailboxKey(address);
      const others = (this.#mailboxes.get(key) ?? []).filter(({ user }) => user !== name);
      if (others.length === 0) this.#mailboxes.delete(key);
      else this.#mailboxes.set(key, others);
    }
  }

  #removeGroup(record: GroupRecord): void {
    this.#groups.delete(userKey(record.name));
    for (const address of record.addresses) {
      const key = mailboxKey(address);
      if (this.#groupsByAddress.get(key)?.name === record.name) this.#groupsByAddress.delete(key);
    }
  }
}

function parse(json: string): { record: DirectoryRecord | undefined; problem?: string } {
  if (json === '') return { record: undefined, problem: 'the credential-store cannot read it' };
  try {
    const parsed = DirectoryRecord.safeParse(JSON.parse(json));
    if (parsed.success) return { record: parsed.data };
    const [issue] = parsed.error.issues;
    return { record: undefined, problem: `${issue?.path.join('.')}: ${issue?.message}` };
  } catch {
    return { record: undefined, problem: 'it is not JSON' };
  }
}
