import { expandAlias } from '#cluster/config/users/aliases.ts';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { canonicalAddress, mailboxKey, withoutTag } from '#shared/address/canonical-address.ts';
import { type AliasRecord, type DirectoryRecord, directoryKey, type GroupRecord } from '#shared/directory/records.ts';
import { userKey } from '#shared/directory/values.ts';
import { SealpostError } from '#shared/errors.ts';
import type { GroupAddresses } from './group-addresses.ts';

/** What must hold between entries. Each check is made within the change of one of them. */

type DirectoryMap = Pick<ReplicatedMap<DirectoryRecord>, 'get'>;
type Groups = Pick<GroupAddresses, 'get' | 'withMember'>;
export type Lookup = { directory: DirectoryMap; groups: Groups };

/** Fails with `invalid` where an alias leads nowhere, only back to itself, or to too many. */
export function assertLeadsSomewhere({ directory, groups }: Lookup, alias: AliasRecord): void {
  if (alias.targets.length === 0) {
    throw new SealpostError('invalid', `the alias ${alias.address} would lead nowhere: remove it instead`);
  }
  const own = mailboxKey(canonicalAddress(alias.address));
  const expanded = expandAlias(own, {
    get: (key) => (key === own ? alias.targets : leadsTo(directory, groups, key)),
  });
  if (!expanded.ok) throw new SealpostError('invalid', `the alias ${alias.address} ${expanded.message}`);
}

/** One step from an alias or the address of a group, or from the name of a member. */
function leadsTo(directory: DirectoryMap, groups: Groups, key: string): readonly string[] | undefined {
  if (key.includes('@')) return recordOf(directory, 'alias', key)?.targets ?? groups.get(key)?.members;
  return recordOf(directory, 'group', key)?.members ?? recordOf(directory, 'user', key)?.addresses.slice(0, 1) ?? [];
}

/** Fails with `not-found` where a name is neither that of a user nor of a group. Addresses may be elsewhere. */
export function assertNames(directory: DirectoryMap, member: string): void {
  if (member.includes('@')) return;
  if (directory.get(directoryKey('user', member)) ?? directory.get(directoryKey('group', member))) return;
  throw new SealpostError('not-found', `${member} is neither a user nor a group of the cluster's directory`);
}

/**
 * Fails with `invalid` where a group would contain itself, through whatever groups and aliases, and with `exists` where
 * its name or one of its addresses is taken.
 */
export function assertNoCycle({ directory, groups }: Lookup, group: GroupRecord): void {
  if (directory.get(directoryKey('user', group.name)) !== undefined) {
    throw new SealpostError('exists', `a user has the name ${group.name}: members of groups would be ambiguous`);
  }
  const own = new Set([userKey(group.name), ...group.addresses.map((a) => mailboxKey(canonicalAddress(a)))]);
  for (const address of group.addresses) {
    const other = groups.get(mailboxKey(canonicalAddress(address)));
    if (other === undefined || userKey(other.name) === userKey(group.name)) continue;
    throw new SealpostError('exists', `the group ${other.name} has the address ${address} already`);
  }
  const seen = new Set<string>();
  const work = group.members.map((member) => ({ member, path: [group.name] }));
  for (let next = work.pop(); next !== undefined; next = work.pop()) {
    const key = keyOfMember(next.member);
    const path = [...next.path, next.member];
    if (own.has(key))
      throw new SealpostError('invalid', `the group ${group.name} would contain itself: ${path.join(', ')}`);
    if (seen.has(key)) continue;
    seen.add(key);
    const base = withoutTag(key);
    const targets = leadsTo(directory, groups, key) ?? (base && leadsTo(directory, groups, base)) ?? [];
    for (const member of targets) work.push({ member, path: path.length < 20 ? path : [...path.slice(0, 20)] });
  }
}

/**
 * Fails with `invalid` where a group has the user or group as a member. Whoever got the name later would get the mail of
 * that group.
 */
export function assertNoMember({ groups }: Pick<Lookup, 'groups'>, name: string): void {
  const [group, ...more] = groups.withMember(name);
  if (group === undefined) return;
  const which = more.length === 0 ? `the group ${group}` : `the groups ${[group, ...more].slice(0, 10).join(', ')}`;
  const remedy = `sealpost groups members ${group} --remove ${name}`;
  throw new SealpostError('invalid', `${name} is a member of ${which}: remove it there first ("${remedy}")`);
}

const keyOfMember = (member: string): string => mailboxKey(canonicalAddress(member));

function recordOf<Kind extends DirectoryRecord['kind']>(directory: DirectoryMap, kind: Kind, name: string) {
  const value = directory.get(directoryKey(kind, name))?.value;
  return value?.kind === kind ? (value as Extract<DirectoryRecord, { kind: Kind }>) : undefined;
}
