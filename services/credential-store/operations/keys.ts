import type { Handlers } from '#shared/contract.ts';
import { checkKeyName, type KeyName, normalizeKeyName } from '#shared/dkim/key-name.ts';
import type { CredentialStoreContract, KeyStatus } from '../contract.ts';
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
import type { DomainRecord, KeyRecord } from '../records/domain-record.ts';
import type { At } from '../records/record-change.ts';
import { findKey, type Office, requireRecord } from './deps.ts';
import { importedKey } from './import-key.ts';
import { keyStatus } from './key-status.ts';

/** Operations on single keys. Each is one compare-and-set; what has to follow is the driver's. */

type KeyOperations = Pick<
  Handlers<CredentialStoreContract>,
  'key-create' | 'key-import' | 'key-activate' | 'key-retire' | 'key-revoke' | 'key-delete'
>;

export function keyOperations(office: () => Office): KeyOperations {
  return {
    async 'key-create'({ algorithm, allowWeak, activate, ...request }) {
      const { maker, records, log } = office();
      const name = checkKeyName(request);
      // Before seconds are spent on a key that has no place; `add` looks again.
      assertFreeSelector(records.get(name.domain), name.selector, true);
      const key = await maker.make(name, algorithm, { activate: activate ?? true, allowWeak });
      const status = await add(office(), name, key, activate);
      log.info({ ...name, algorithm, fingerprint: key.fingerprint }, 'key created');
      return status;
    },

    async 'key-import'({ activate, ...request }) {
      const { log } = office();
      const { name, key } = await importedKey(office(), request);
      const status = await add(office(), name, key, activate);
      log.info({ ...name, algorithm: key.algorithm, fingerprint: key.fingerprint }, 'key imported');
      return status;
    },

    'key-activate': (request) => change(office(), request, 'activated', activateKey),

    'key-retire': ({ force, ...request }) =>
      change(office(), request, 'retired', (record, selector) =>
        retireKey(record, selector, { force, ...at(office()) }),
      ),

    'key-revoke': ({ force, ...request }) =>
      change(office(), request, 'revoked', (record, selector) =>
        revokeKey(record, selector, { force, ...at(office()) }),
      ),

    async 'key-delete'(request) {
      const { records, log } = office();
      const { domain, selector } = normalizeKeyName(request);
      findKey(records, request);
      await records.update(domain, (record) => deleteKey(requireRecord(record, domain), selector, at(office())));
      log.info({ domain, selector }, 'key is to be deleted, by order of an administrator');
      return {};
    },
  };
}

/** Give a new key its place. `activate` undefined: it becomes active where the domain signs with none of its kind. */
async function add(office: Office, name: KeyName, key: KeyRecord, activate: boolean | undefined): Promise<KeyStatus> {
  const { domain } = name;
  const { record } = await office.records.update(domain, (before) => {
    // The NEK may have been replaced since the key was wrapped.
    if (key.wrapped !== undefined) assertCurrent(office.records, key.wrapped);
    const wanted = activate ?? activatesByItself(before, key.algorithm);
    return addKey(before, domain, { ...key, activate: wanted });
  });
  return statusIn(office, record, name);
}

const at = ({ settings }: Office): At => ({ now: Date.now(), node: settings.current.node.name });

type Step = (record: DomainRecord, selector: string) => DomainRecord;

async function change(office: Office, request: KeyName, done: string, step: Step): Promise<KeyStatus> {
  const { records, log } = office;
  const name = normalizeKeyName(request);
  findKey(records, request);
  const { record } = await records.update(name.domain, (before) =>
    step(requireRecord(before, name.domain), name.selector),
  );
  log.info(name, `key ${done} by order of an administrator`);
  return statusIn(office, record, name);
}

function statusIn(office: Office, record: DomainRecord | undefined, name: KeyName): KeyStatus {
  const key = record?.keys.find((k) => k.selector === name.selector) ?? findKey(office.records, name).key;
  return keyStatus(office, name.domain, key);
}
