import { z } from 'zod';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import type { RotationStatus } from '#shared/keys/rotation.ts';
import type { CredentialStore } from '../reports/keys/key-list.ts';
import { findRotation, frozenKeys, keyOverview, liveNodes } from '../reports/keys/overview.ts';
import { leavesNothing, recordOf } from '../reports/keys/record.ts';
import { nextText, noteText, rotationText } from '../reports/keys/text.ts';
import {
  DomainName,
  KeyListReply,
  KeyName,
  KeyReply,
  KeyShown,
  KeyVerified,
  NewKey,
  NewRotation,
  NewSchedule,
  RotationShown,
} from '../schemas/keys.ts';
import { type Asked, type Context, route } from './route.ts';

/** DKIM keys: what each node has of them, their records, and their rotations. */

const storeOf = ({ clients }: Asked): CredentialStore => clients.client(credentialStoreContract);

const shownKey = (key: KeyStatus, frozen = false): KeyShown => ({
  ...key,
  next: nextText(key),
  note: noteText(key),
  frozen,
});

const shownRotation = (rotation: RotationStatus): RotationShown => ({ ...rotation, text: rotationText(rotation) });

type KeyContext = Context<z.output<typeof KeyName>>;

async function list(context: Asked): Promise<KeyListReply> {
  const { bounds, config } = context;
  const { keys, rotations, schedules, ...rest } = await keyOverview(storeOf(context));
  const frozen = frozenKeys(rotations);
  const isHers = ({ domain }: { domain: string }): boolean => bounds.has(domain);
  return {
    ...rest,
    keys: keys.filter(isHers).map((key) => shownKey(key, frozen.has(`${key.domain}!${key.selector}`))),
    rotations: rotations.filter(isHers).map(shownRotation),
    schedules: schedules.filter(isHers),
    domains: config.domains.map(({ name }) => name).filter((name) => bounds.has(name)),
  };
}

async function show(context: KeyContext): Promise<KeyReply> {
  const { params, bounds } = context;
  bounds.demand(params.domain);
  const store = storeOf(context);
  const [key, rotation] = await Promise.all([store['key-show'](params), findRotation(store, params.domain)]);
  const { nodes, publish } = key;
  const live = nodes.holding.length < nodes.live ? await liveNodes(store, (await store['status-show']({})).node) : [];
  return {
    key: shownKey(key, rotation && frozenKeys([rotation]).has(`${key.domain}!${key.selector}`)),
    lacking: live.filter((name) => !nodes.holding.includes(name)),
    ...(publish !== 'none' && !leavesNothing(key) && { record: recordOf(key) }),
    ...(rotation && { rotation: shownRotation(rotation) }),
  };
}

/** A change of what a path names, which is of a domain, without an answer. */
function changeRoute<P extends typeof KeyName | typeof DomainName>(
  path: `/api/${string}`,
  params: P,
  summary: string,
  change: (store: CredentialStore, name: z.output<P>) => Promise<unknown>,
) {
  return route({
    ...{ method: 'POST', path, summary, access: 'operator', domains: 'filtered' },
    params,
    reply: z.object({}),
    handler: async (context) => {
      context.bounds.demand(context.params.domain);
      await change(storeOf(context), context.params as z.output<P>);
      return {};
    },
  });
}

const keyRoute = (verb: string, summary: string, change: Parameters<typeof changeRoute<typeof KeyName>>[3]) =>
  changeRoute(`/api/keys/:domain/:selector/${verb}`, KeyName, summary, change);

const rotationRoute = (verb: string, summary: string, change: Parameters<typeof changeRoute<typeof DomainName>>[3]) =>
  changeRoute(`/api/rotations/:domain/${verb}`, DomainName, summary, change);

export const keyRoutes = [
  route({
    method: 'GET',
    path: '/api/keys',
    summary: 'Every key with what each node has of it, the rotations under way and the schedules',
    access: 'viewer',
    domains: 'filtered',
    reply: KeyListReply,
    handler: list,
  }),
  route({
    method: 'GET',
    path: '/api/keys/:domain/:selector',
    summary: 'One key, its record in DNS, and the last rotation of its domain',
    access: 'viewer',
    domains: 'filtered',
    params: KeyName,
    reply: KeyReply,
    handler: show,
  }),
  route({
    method: 'POST',
    path: '/api/keys',
    summary: 'Create a key on all nodes',
    access: 'operator',
    domains: 'filtered',
    body: NewKey,
    reply: KeyShown,
    handler: async (context) => {
      context.bounds.demand(context.body.domain);
      return shownKey(await storeOf(context)['key-create'](context.body));
    },
  }),
  keyRoute('activate', 'Let a proven key sign', (store, name) => store['key-activate'](name)),
  keyRoute('retire', 'Stop signing with a key; its record stays for the mail that it signed', (store, name) =>
    store['key-retire'](name),
  ),
  keyRoute('revoke', 'Declare a key compromised: it stops signing, and its record says that it is revoked', (s, name) =>
    s['key-revoke']({ ...name, force: true }),
  ),
  keyRoute('delete', 'Remove a key that never signed, or one that is revoked', (store, name) =>
    store['key-delete'](name),
  ),
  route({
    method: 'GET',
    path: '/api/keys/:domain/:selector/views',
    summary: 'The record of a key as each live node sees it in DNS now, and whether its signer has the key',
    access: 'viewer',
    domains: 'filtered',
    params: KeyName,
    reply: KeyVerified,
    handler: async (context) => {
      context.bounds.demand(context.params.domain);
      return storeOf(context)['key-verify'](context.params);
    },
  }),
  route({
    method: 'GET',
    path: '/api/rotations/:domain',
    summary: 'The last rotation of a domain, with its steps',
    access: 'viewer',
    domains: 'filtered',
    params: DomainName,
    reply: RotationShown,
    handler: async (context) => {
      context.bounds.demand(context.params.domain);
      return shownRotation(await storeOf(context)['rotation-show'](context.params));
    },
  }),
  route({
    method: 'POST',
    path: '/api/rotations/:domain',
    summary: 'Replace every active key of a domain on all nodes',
    access: 'operator',
    domains: 'filtered',
    params: DomainName,
    body: NewRotation,
    reply: RotationShown,
    handler: async (context) => {
      context.bounds.demand(context.params.domain);
      return shownRotation(await storeOf(context)['rotation-start']({ ...context.params, ...context.body }));
    },
  }),
  rotationRoute('freeze', 'Stop a rotation where it is', (store, name) => store['rotation-freeze'](name)),
  rotationRoute('resume', 'Let a rotation go on, and try again what needed a person', (store, name) =>
    store['rotation-resume'](name),
  ),
  rotationRoute('roll-back', 'End a rotation: the old keys go on signing', (store, name) =>
    store['rotation-rollback'](name),
  ),
  route({
    method: 'PUT',
    path: '/api/schedules/:domain',
    summary: 'Rotate the keys of a domain every so many days, or by hand alone',
    access: 'operator',
    domains: 'filtered',
    params: DomainName,
    body: NewSchedule,
    reply: z.object({}),
    handler: async (context) => {
      const domain = normalizeDomain(context.params.domain);
      context.bounds.demand(domain);
      await storeOf(context)['schedule-set']({ domain, ...context.body });
      return {};
    },
  }),
];
