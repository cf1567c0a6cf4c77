import type { EntryOf } from '#shared/directory/entries.ts';
import { type CommonOptions, print } from '../context.ts';
import { usageError } from '../exit.ts';
import { table } from '../table.ts';
import { CLUSTER, listChange, listEntries, requireName, tellOfFirst, withDirectory } from './place.ts';

/** `sealpost aliases` and `sealpost groups`: entries of the cluster's directory. */

type ChangeOptions = CommonOptions & { add?: string[]; remove?: string[] };

export async function addAlias(address: string, targets: string[], options: CommonOptions): Promise<void> {
  const { entry } = await withDirectory(options, async (store) => {
    await tellOfFirst(store);
    return store['alias-set']({ address: requireName(address), targets: { set: targets }, create: true });
  });
  print(options, entry, () => `added the alias ${address} to ${CLUSTER}`);
}

export async function changeAlias(address: string, options: ChangeOptions): Promise<void> {
  const targets = listChange(options.add, options.remove);
  if (targets === undefined) throw usageError('name what is to change: --add, --remove');
  const { entry } = await withDirectory(options, (store) => store['alias-set']({ address, targets, create: false }));
  print(options, entry, () => aliasTable(entry.kind === 'alias' ? [entry] : []));
}

export async function listAliases(options: CommonOptions): Promise<void> {
  const aliases = await withDirectory(options, (store) => listEntries(store, 'alias'));
  print(options, { aliases }, () => (aliases.length === 0 ? 'no aliases' : aliasTable(aliases)));
}

const aliasTable = (aliases: readonly EntryOf<'alias'>[]): string =>
  table(
    ['ALIAS', 'LEADS TO'],
    aliases.map(({ address, targets }) => [address, targets.join(', ')]),
  );

export async function addGroup(
  name: string,
  members: string[],
  options: CommonOptions & { address?: string[] },
): Promise<void> {
  const { entry } = await withDirectory(options, async (store) => {
    await tellOfFirst(store);
    const lists = { addresses: { add: options.address ?? [] }, members: { add: members } };
    return store['group-set']({ name: requireName(name), ...lists, create: true });
  });
  print(options, entry, () => `added the group ${name} to ${CLUSTER}`);
}

type MembersOptions = ChangeOptions & { addAddress?: string[]; removeAddress?: string[] };

/** Shows them where nothing is to change. */
export async function groupMembers(name: string, options: MembersOptions): Promise<void> {
  const members = listChange(options.add, options.remove);
  const addresses = listChange(options.addAddress, options.removeAddress);
  const { entry } = await withDirectory(options, (store) =>
    members === undefined && addresses === undefined
      ? store['entry-show']({ kind: 'group', name })
      : store['group-set']({ name, ...(members && { members }), ...(addresses && { addresses }), create: false }),
  );
  print(options, entry, () => (entry.kind === 'group' ? groupTable([entry]) : ''));
}

export async function listGroups(options: CommonOptions): Promise<void> {
  const groups = await withDirectory(options, (store) => listEntries(store, 'group'));
  print(options, { groups }, () => (groups.length === 0 ? 'no groups' : groupTable(groups)));
}

const groupTable = (groups: readonly EntryOf<'group'>[]): string =>
  table(
    ['GROUP', 'ADDRESSES', 'MEMBERS'],
    groups.map(({ name, addresses, members }) => [name, addresses.join(', '), members.join(', ')]),
  );

export async function removeEntry(kind: 'alias' | 'group', name: string, options: CommonOptions): Promise<void> {
  await withDirectory(options, (store) => store['entry-delete']({ kind, name }));
  print(options, { kind, name }, () => `removed the ${kind} ${name} from ${CLUSTER}`);
}
