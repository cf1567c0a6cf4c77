import { canonicalAddress } from '#shared/address/canonical-address.ts';
import type { AliasRecord, GroupRecord, MapRecord } from '#shared/directory/records.ts';
import { changedList, changeEntry, changeRecord, expected, missing } from '../directory/change.ts';
import { assertLeadsSomewhere, assertNames, assertNoCycle, assertNoMember } from '../directory/rules.ts';
import type { Operation } from './deps.ts';

/** Operations on aliases, groups and maps, and the removal of any entry. */

export const aliasSet: Operation<'alias-set'> = (deps, { address, targets, create }) =>
  changeEntry(deps, { kind: 'alias', name: address }, (current): AliasRecord => {
    const alias = expected(current, { kind: 'alias', name: address }, create);
    const next: AliasRecord = {
      kind: 'alias',
      address: alias?.address ?? address,
      targets: changedList(alias?.targets ?? [], targets).map(canonicalAddress),
    };
    assertLeadsSomewhere(deps, next);
    return next;
  });

export const groupSet: Operation<'group-set'> = (deps, { name, addresses, members, create }) =>
  changeEntry(deps, { kind: 'group', name }, (current): GroupRecord => {
    const group = expected(current, { kind: 'group', name }, create);
    const next: GroupRecord = {
      kind: 'group',
      name: group?.name ?? name,
      addresses: changedList(group?.addresses ?? [], addresses),
      members: changedList(group?.members ?? [], members),
    };
    for (const member of members?.add ?? []) assertNames(deps.directory, member);
    assertNoCycle(deps, next);
    return next;
  });

export const mapSet: Operation<'map-set'> = (deps, { name, entries }) =>
  changeEntry(
    deps,
    { kind: 'map', name },
    (current): MapRecord => ({ kind: 'map', name: current?.name ?? name, entries }),
  );

export const entryDelete: Operation<'entry-delete'> = async (deps, { kind, name }) => {
  const { node } = await changeRecord(deps, { kind, name }, (current) => {
    if (current === undefined) throw missing(kind, name);
    if (kind === 'user' || kind === 'group') assertNoMember(deps, name);
    return undefined;
  });
  return { node };
};
