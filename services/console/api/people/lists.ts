import { z } from 'zod';
import { canonicalAddress, mailboxKey, withoutTag } from '#shared/address/canonical-address.ts';
import type { ListChange } from '#shared/directory/entries.ts';
import { userKey } from '#shared/directory/values.ts';
import { SealpostError } from '#shared/errors.ts';
import type { CredentialStore } from '../../reports/keys/key-list.ts';
import { allEntries, isEmpty } from '../../reports/people/entries.ts';
import {
  AliasParam,
  GroupChange,
  GroupParam,
  ListsReply,
  NewAlias,
  NewGroup,
  NewTargets,
} from '../../schemas/people.ts';
import { type Asked, route } from '../route.ts';
import { demandChange, isHerGroup, isHers } from './bounds.ts';
import { storeOf } from './list.ts';

/**
 * Aliases and groups of the cluster's directory, with the checks of the command line.
 *
 * A domain administrator has those whose addresses are all of her domains. Where they lead is hers to say, to other domains
 * too: it is mail for her domains, and whoever gets it could be sent it by anybody. Two things are not:
 *
 * - an address of a user whom she may not change, with a tag or without: an alias would lead that mail away, and with it, say,
 *   the link by which an operator sets a new password at an OpenID provider;
 * - members by the name of a user or group that she does not see: the answer would tell her who there is.
 */

const CHANGE = { access: 'operator', domains: 'filtered' } as const;
const Done = z.object({});

async function lists(context: Asked): Promise<z.input<typeof ListsReply>> {
  const { bounds } = context;
  const store = storeOf(context);
  const [aliases, groups] = await Promise.all([allEntries(store, 'alias'), allEntries(store, 'group')]);
  const none = aliases.entries.length === 0 && groups.entries.length === 0;
  return {
    aliases: aliases.entries.filter(({ address }) => bounds.hasAddress(address)),
    groups: groups.entries.filter((group) => isHerGroup(context, group)),
    first: none && (await isEmpty(store)),
  };
}

/** Fails with `forbidden` where mail for one of these addresses is not hers to lead. */
async function demandAddresses(context: Asked, addresses: readonly string[]): Promise<void> {
  const { bounds, config } = context;
  if (bounds.domains === undefined) return;
  const { entries: users } = await allEntries(storeOf(context), 'user');
  for (const address of addresses) {
    demandChange(context, { name: address, addresses: [address], onBehalfOf: [] });
    const canonical = canonicalAddress(address);
    const keys = [canonical, withoutTag(canonical, config.rewrite.delimiter) ?? canonical].map(mailboxKey);
    const isOf = (own: string): boolean => keys.includes(mailboxKey(canonicalAddress(own)));
    const having = users.filter((user) => user.addresses.some(isOf));
    for (const user of having) demandChange(context, user);
  }
}

async function demandMembers(context: Asked, members: readonly string[]): Promise<void> {
  const names = members.filter((member) => !member.includes('@'));
  if (context.bounds.domains === undefined || names.length === 0) return;
  const store = storeOf(context);
  const [users, groups] = await Promise.all([allEntries(store, 'user'), allEntries(store, 'group')]);
  const seen = [
    ...users.entries.filter((user) => isHers(context, user)),
    ...groups.entries.filter((group) => isHerGroup(context, group)),
  ];
  const known = new Set(seen.map(({ name }) => userKey(name)));
  const unseen = names.find((name) => !known.has(userKey(name)));
  if (unseen === undefined) return;
  const text = `${unseen} is neither a user nor a group of your domains: name an address, or ask an operator of all domains`;
  throw new SealpostError('forbidden', text);
}

function demandGroup(context: Asked, group: { name: string; addresses: readonly string[] }): void {
  if (isHerGroup(context, group)) return;
  const text = `the group ${group.name} has addresses outside your domains, or none: ask an operator of all domains`;
  throw new SealpostError('forbidden', text);
}

async function groupOf(store: CredentialStore, name: string) {
  const { entry } = await store['entry-show']({ kind: 'group', name });
  if (entry.kind !== 'group') throw new SealpostError('not-found', `there is no group ${name}`);
  return entry;
}

async function aliasOf(store: CredentialStore, name: string) {
  const { entry } = await store['entry-show']({ kind: 'alias', name });
  if (entry.kind !== 'alias') throw new SealpostError('not-found', `there is no alias ${name}`);
  return entry;
}

/** What makes one list the other, so that what somebody else adds meanwhile stays. */
function difference(before: readonly string[], after: readonly string[]): ListChange {
  return { add: after.filter((one) => !before.includes(one)), remove: before.filter((one) => !after.includes(one)) };
}

const aliasRoutes = [
  route({
    method: 'POST',
    path: '/api/aliases',
    summary: 'Add an alias: mail for the address goes to the targets',
    ...CHANGE,
    body: NewAlias,
    reply: Done,
    handler: async (context) => {
      const { address, targets } = context.body;
      await demandAddresses(context, [address]);
      await storeOf(context)['alias-set']({ address, targets: { set: targets }, create: true });
      return {};
    },
  }),
  route({
    method: 'PUT',
    path: '/api/aliases/:address',
    summary: 'Where an alias leads',
    ...CHANGE,
    params: AliasParam,
    body: NewTargets,
    reply: Done,
    handler: async (context) => {
      const { address } = context.params;
      await demandAddresses(context, [address]);
      const store = storeOf(context);
      const { targets } = await aliasOf(store, address);
      await store['alias-set']({ address, targets: difference(targets, context.body.targets), create: false });
      return {};
    },
  }),
  route({
    method: 'DELETE',
    path: '/api/aliases/:address',
    summary: 'Remove an alias',
    ...CHANGE,
    params: AliasParam,
    reply: Done,
    handler: async (context) => {
      const { address } = context.params;
      await demandAddresses(context, [address]);
      await storeOf(context)['entry-delete']({ kind: 'alias', name: address });
      return {};
    },
  }),
];

const groupRoutes = [
  route({
    method: 'POST',
    path: '/api/groups',
    summary: 'Add a group: mail for its addresses goes to its members',
    ...CHANGE,
    body: NewGroup,
    reply: Done,
    handler: async (context) => {
      const { name, addresses, members } = context.body;
      demandGroup(context, context.body);
      await demandAddresses(context, addresses);
      await demandMembers(context, members);
      const lists = { addresses: { add: addresses }, members: { add: members } };
      await storeOf(context)['group-set']({ name, ...lists, create: true });
      return {};
    },
  }),
  route({
    method: 'PUT',
    path: '/api/groups/:group',
    summary: 'The addresses and members of a group',
    ...CHANGE,
    params: GroupParam,
    body: GroupChange,
    reply: Done,
    handler: async (context) => {
      const { group: name } = context.params;
      const store = storeOf(context);
      const before = await groupOf(store, name);
      demandGroup(context, before);
      demandGroup(context, { name, addresses: context.body.addresses });
      const addresses = difference(before.addresses, context.body.addresses);
      const members = difference(before.members, context.body.members);
      await demandAddresses(context, addresses.add ?? []);
      await demandMembers(context, members.add ?? []);
      await store['group-set']({ name, addresses, members, create: false });
      return {};
    },
  }),
  route({
    method: 'DELETE',
    path: '/api/groups/:group',
    summary: 'Remove a group',
    ...CHANGE,
    params: GroupParam,
    reply: Done,
    handler: async (context) => {
      const { group: name } = context.params;
      const store = storeOf(context);
      demandGroup(context, await groupOf(store, name));
      await store['entry-delete']({ kind: 'group', name });
      return {};
    },
  }),
];

export const listRoutes = [
  route({
    method: 'GET',
    path: '/api/lists',
    summary: 'Aliases and groups of the cluster’s directory',
    access: 'viewer',
    domains: 'filtered',
    reply: ListsReply,
    handler: lists,
  }),
  ...aliasRoutes,
  ...groupRoutes,
];
