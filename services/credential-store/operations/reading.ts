import { normalizeDomain } from '#shared/address.ts';
import type { Handlers } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { CredentialStoreContract } from '../contract.ts';
import { rotationStatus } from '../life/rotation.ts';
import { domainOfKey } from '../records/domain-record.ts';
import { findKey, type Office, requireRecord } from './deps.ts';
import { heldKeys, keyInfo, keyStatus, listedKeys, signingKey } from './key-status.ts';
import { verifyKey } from './verify.ts';

/** Operations that change nothing. */

/** Keys in one page of `signing-key-list`: 200 RSA-4096 keys are 850 KB, below the 1 MB that NATS carries. */
const SIGNING_PAGE = 200;
/** Keys in one page of `list`: what DNS said of one can be some 4 KB. */
const LIST_PAGE = 100;

type Reading = Pick<
  Handlers<CredentialStoreContract>,
  | 'signing-key-list'
  | 'key-list'
  | 'key-show'
  | 'key-export'
  | 'rotation-show'
  | 'schedule-list'
  | 'record-resolve'
  | 'key-verify'
  | 'status-show'
>;

export function reading(office: () => Office): Reading {
  return {
    'signing-key-list'({ after, since }) {
      const { records, all, map, settings } = office();
      if (map.state === 'behind') {
        throw new SealpostError('not-caught-up', 'this node has yet to catch up with the others');
      }
      const changed = since === undefined ? undefined : changedDomains(map, since);
      const wanted = changed === undefined ? all() : all().filter((r) => changed.has(r.domain));
      const { page, next } = pageOf(heldKeys(wanted), after, SIGNING_PAGE);
      return {
        node: settings.current.node.name,
        revision: records.revision,
        keys: page.map(({ key }) => key),
        cursor: map.cursor,
        ...behindOf(map),
        ...(changed === undefined ? {} : { changed: [...changed] }),
        ...(next === undefined ? {} : { next }),
      };
    },

    'key-list'({ domain, after }) {
      const { all, map, settings } = office();
      const wanted = domain === undefined ? undefined : normalizeDomain(domain);
      const listed = listedKeys(all().filter((r) => wanted === undefined || r.domain === wanted));
      const { page, next } = pageOf(listed, after, LIST_PAGE);
      return {
        node: settings.current.node.name,
        keys: page.map((k) => keyStatus(office(), k.domain, k.key)),
        ...behindOf(map),
        ...(next === undefined ? {} : { next }),
      };
    },

    'key-show'(request) {
      const { domain, key } = findKey(office().records, request);
      return keyStatus(office(), domain, key);
    },

    'key-export'(request) {
      const { domain, key } = findKey(office().records, request);
      const whole = signingKey(domain, key);
      if (whole !== undefined) return whole;
      throw new SealpostError(
        'erased',
        `the private key of ${key.selector} of ${domain} was erased: it is ${key.state}`,
      );
    },

    'rotation-show'({ domain }) {
      const status = rotationStatus(requireRecord(office().records.get(normalizeDomain(domain)), domain));
      if (status !== undefined) return status;
      throw new SealpostError('not-found', `the keys of ${domain} were never rotated`);
    },

    'schedule-list'() {
      const all = office().records.all();
      return {
        schedules: all.flatMap(({ domain, schedule }) => (schedule === undefined ? [] : [{ domain, ...schedule }])),
      };
    },

    'record-resolve'({ expected, ...name }) {
      const { records, views } = office();
      const { domain, key } = findKey(records, name);
      return views.look(domain, key, expected);
    },

    async 'key-verify'(name) {
      const { domain, key } = findKey(office().records, name);
      return { key: keyInfo(domain, key), ...(await verifyKey(office(), domain, key)) };
    },

    'status-show'() {
      const { map, records, all, presence, settings } = office();
      const unreadable = map.unreadable.map((key) => domainOfKey(key) ?? key);
      return {
        node: settings.current.node.name,
        state: map.state,
        revision: records.revision,
        keys: all().reduce((sum, { keys }) => sum + keys.length, 0),
        holders: presence.live(),
        ...(map.problem === undefined ? {} : { problem: map.problem }),
        ...(unreadable.length === 0 ? {} : { unreadable }),
      };
    },
  };
}

/** Why a node may not know the newest; nothing where it does. */
export function behindOf(map: Office['map']): { behind?: string } {
  const { state, problem } = map;
  return state === 'local' || state === 'following'
    ? {}
    : { behind: problem ?? 'it has yet to catch up with the others' };
}

/** The domains whose records changed since a cursor was given; undefined when it is not one of this process. */
function changedDomains(map: Office['map'], since: string): Set<string> | undefined {
  const keys = map.changedSince(since);
  return keys && new Set(keys.flatMap((key) => domainOfKey(key) ?? []));
}

/** The entries behind the cursor, and the cursor of the page that follows. */
function pageOf<T extends { place: string }>(
  entries: T[],
  after: string | undefined,
  size: number,
): { page: T[]; next: string | undefined } {
  const rest = after === undefined ? entries : entries.filter((e) => e.place > after);
  const page = rest.slice(0, size);
  return { page, next: rest.length > size ? page.at(-1)?.place : undefined };
}
