import { normalizeDomain } from '#shared/address/address.ts';
import { checkKeyName, type KeyName, normalizeKeyName } from '#shared/dkim/key-name.ts';
import { SealpostError } from '#shared/errors.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import {
  activateKey,
  activatesByItself,
  addKey,
  assertFreeSelector,
  deleteKey,
  retireKey,
  revokeKey,
} from '../life/life-cycle.ts';
import { assertCurrent } from '../neks/nek-check.ts';
import { behindOf } from '../records/behind.ts';
import type { DomainRecord, KeyRecord } from '../records/domain-record.ts';
import { pageOf } from '../records/pages.ts';
import { atNow, findKey, type Operation, type OperationDeps, requireRecord } from './deps.ts';
import { importedKey } from './import-key.ts';
import { keyStatus, listedKeys, signingKey } from './key-status.ts';

/** Operations on single keys. */

/** Keys in one page of `key-list`: what DNS said of one can be some 4 KB. */
const PAGE_SIZE = 100;

export const keyCreate: Operation<'key-create'> = async (deps, { algorithm, allowWeak, activate, ...request }) => {
  const { maker, records, log } = deps;
  const name = checkKeyName(request);
  // Before seconds are spent on a key that cannot be added; `add` looks again.
  assertFreeSelector(records.get(name.domain), name.selector, true);
  const key = await maker.make(name, algorithm, { activate: activate ?? true, allowWeak });
  const status = await add(deps, name, key, activate);
  log.info({ ...name, algorithm, fingerprint: key.fingerprint }, 'key created');
  return status;
};

export const keyImport: Operation<'key-import'> = async (deps, { activate, ...request }) => {
  const { name, key } = await importedKey(deps, request);
  const status = await add(deps, name, key, activate);
  deps.log.info({ ...name, algorithm: key.algorithm, fingerprint: key.fingerprint }, 'key imported');
  return status;
};

export const keyList: Operation<'key-list'> = (deps, { domain, after }) => {
  const { all, map, settings } = deps;
  const wanted = domain === undefined ? undefined : normalizeDomain(domain);
  const listed = listedKeys(all().filter((r) => wanted === undefined || r.domain === wanted));
  const { page, next } = pageOf(listed, after, PAGE_SIZE);
  return {
    node: settings.current.node.name,
    keys: page.map((k) => keyStatus(deps, k.domain, k.key)),
    ...behindOf(map),
    ...(next === undefined ? {} : { next }),
  };
};

export const keyShow: Operation<'key-show'> = (deps, request) => {
  const { domain, key } = findKey(deps.records, request);
  return keyStatus(deps, domain, key);
};

export const keyExport: Operation<'key-export'> = ({ records }, request) => {
  const { domain, key } = findKey(records, request);
  const whole = signingKey(domain, key);
  if (whole !== undefined) return whole;
  throw new SealpostError('erased', `the private key of ${key.selector} of ${domain} was erased: it is ${key.state}`);
};

export const keyActivate: Operation<'key-activate'> = (deps, request) =>
  change(deps, request, 'activated', activateKey);

export const keyRetire: Operation<'key-retire'> = (deps, { force, ...request }) =>
  change(deps, request, 'retired', (record, selector) => retireKey(record, selector, { force, ...atNow(deps) }));

export const keyRevoke: Operation<'key-revoke'> = (deps, { force, ...request }) =>
  change(deps, request, 'revoked', (record, selector) => revokeKey(record, selector, { force, ...atNow(deps) }));

export const keyDelete: Operation<'key-delete'> = async (deps, request) => {
  const { records, log } = deps;
  const { domain, selector } = normalizeKeyName(request);
  findKey(records, request);
  await records.update(domain, (record) => deleteKey(requireRecord(record, domain), selector, atNow(deps)));
  log.info({ domain, selector }, 'key will be deleted, as an administrator ordered');
  return {};
};

/** Store a new key. `activate` undefined: it becomes active where the domain signs with no key of its type. */
async function add(
  deps: OperationDeps,
  name: KeyName,
  key: KeyRecord,
  activate: boolean | undefined,
): Promise<KeyStatus> {
  const { domain } = name;
  const { record } = await deps.records.update(domain, (before) => {
    // The NEK may have been replaced since the key was wrapped.
    if (key.wrapped !== undefined) assertCurrent(deps.records, key.wrapped);
    const wanted = activate ?? activatesByItself(before, key.algorithm);
    return addKey(before, domain, { ...key, activate: wanted });
  });
  return statusIn(deps, record, name);
}

async function change(
  deps: OperationDeps,
  request: KeyName,
  done: string,
  transition: (record: DomainRecord, selector: string) => DomainRecord,
): Promise<KeyStatus> {
  const { records, log } = deps;
  const name = normalizeKeyName(request);
  findKey(records, request);
  const { record } = await records.update(name.domain, (before) =>
    transition(requireRecord(before, name.domain), name.selector),
  );
  log.info(name, `key ${done}, as an administrator ordered`);
  return statusIn(deps, record, name);
}

function statusIn(deps: OperationDeps, record: DomainRecord | undefined, name: KeyName): KeyStatus {
  const key = record?.keys.find((k) => k.selector === name.selector) ?? findKey(deps.records, name).key;
  return keyStatus(deps, name.domain, key);
}
