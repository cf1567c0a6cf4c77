import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { mailboxKey } from '#shared/address/canonical-address.ts';
import { type DirectoryRecord, directoryKey, type GroupRecord } from '#shared/directory/records.ts';
import { userKey } from '#shared/directory/values.ts';

const GROUP = directoryKey('group', '');

/** The groups by the addresses at which they get mail, kept as entries change: a check of one entry must not look at all. */
export class GroupAddresses {
  readonly #map: ReplicatedMap<DirectoryRecord>;
  readonly #byKey = new Map<string, GroupRecord>();
  readonly #byAddress = new Map<string, GroupRecord>();

  constructor(map: ReplicatedMap<DirectoryRecord>) {
    this.#map = map;
    for (const { key } of map.entries()) this.#take(key);
    map.onChange((keys) => keys.forEach((key) => void this.#take(key)));
  }

  /** `address` is a `mailboxKey`. */
  get(address: string): GroupRecord | undefined {
    return this.#byAddress.get(address);
  }

  /** The names of the groups that have a user or a group as a member; looks at all of them. */
  withMember(name: string): string[] {
    const key = userKey(name);
    const groups = [...this.#byKey.values()].filter(({ members }) => members.some((member) => userKey(member) === key));
    return groups.map((group) => group.name);
  }

  #take(key: string): void {
    if (!key.startsWith(GROUP)) return;
    const before = this.#byKey.get(key);
    // An address may be that of another group already, where both came at once.
    for (const address of before?.addresses.map(mailboxKey) ?? []) {
      if (this.#byAddress.get(address) === before) this.#byAddress.delete(address);
    }
    this.#byKey.delete(key);
    const group = this.#map.get(key)?.value;
    if (group?.kind !== 'group') return;
    this.#byKey.set(key, group);
    for (const address of group.addresses) this.#byAddress.set(mailboxKey(address), group);
  }
}
