import { webhookHandlers } from '#cluster/webhooks/handlers.ts';
import type { Handlers } from '#shared/contract.ts';
import { auditHandlers } from '../audit/operations.ts';
import { challengeList } from '../certificates/challenge-list.ts';
import {
  certificateDelete,
  certificateImport,
  certificateList,
  certificateOrder,
  certificateShow,
} from '../certificates/operations.ts';
import { certificateRewrap } from '../certificates/rewrap.ts';
import { servingCertificateList } from '../certificates/serving-list.ts';
import type { CredentialStoreContract } from '../contract.ts';
import { blockList, userBlock, userUnblock } from './blocks.ts';
import type { OperationDeps } from './deps.ts';
import { directoryList, entryList, entryShow } from './directory-list.ts';
import { keyVerify, recordResolve } from './dns/key-verify.ts';
import { tlsRecordPublish } from './dns/tls-records.ts';
import { tlsRecordForget, tlsRecordList, tlsRecordWithdraw } from './dns/withdraw-tls-records.ts';
import { aliasSet, entryDelete, groupSet, mapSet } from './entries.ts';
import { entryImport } from './entry-import.ts';
import {
  keyActivate,
  keyCreate,
  keyDelete,
  keyExport,
  keyImport,
  keyList,
  keyRetire,
  keyRevoke,
  keyShow,
} from './keys.ts';
import { nekDelete, nekList, nekRotate, nekUse, sealingKeyShow } from './neks.ts';
import { recordList } from './record-list.ts';
import { recordCopy, recordRepair } from './repair.ts';
import {
  rotationFreeze,
  rotationResume,
  rotationRollback,
  rotationShow,
  rotationStart,
  scheduleList,
  scheduleSet,
} from './rotations.ts';
import { signingKeyList } from './signing-keys.ts';
import { statusShow } from './status.ts';
import { appPasswordCreate, appPasswordRevoke, appPasswordUsed, userChange, userCreate } from './users.ts';

/**
 * Every operation of the contract and the function that answers it, which has its name. A change is one compare-and-set;
 * what has to follow is done by the driver. `deps` fails with `unavailable` while the service is not started.
 */
export function createHandlers(deps: () => OperationDeps): Handlers<CredentialStoreContract> {
  return {
    'signing-key-list': (request) => signingKeyList(deps(), request),
    'key-create': (request) => keyCreate(deps(), request),
    'key-import': (request) => keyImport(deps(), request),
    'key-list': (request) => keyList(deps(), request),
    'key-show': (request) => keyShow(deps(), request),
    'key-export': (request) => keyExport(deps(), request),
    'rotation-start': (request) => rotationStart(deps(), request),
    'rotation-show': (request) => rotationShow(deps(), request),
    'rotation-freeze': (request) => rotationFreeze(deps(), request),
    'rotation-resume': (request) => rotationResume(deps(), request),
    'rotation-rollback': (request) => rotationRollback(deps(), request),
    'key-activate': (request) => keyActivate(deps(), request),
    'key-retire': (request) => keyRetire(deps(), request),
    'key-revoke': (request) => keyRevoke(deps(), request),
    'key-delete': (request) => keyDelete(deps(), request),
    'schedule-set': (request) => scheduleSet(deps(), request),
    'schedule-list': (request) => scheduleList(deps(), request),
    'record-resolve': (request) => recordResolve(deps(), request),
    'key-verify': (request) => keyVerify(deps(), request),
    'tls-record-publish': (request) => tlsRecordPublish(deps(), request),
    'tls-record-list': (request) => tlsRecordList(deps(), request),
    'tls-record-withdraw': (request) => tlsRecordWithdraw(deps(), request),
    'tls-record-forget': (request) => tlsRecordForget(deps(), request),
    'nek-list': (request) => nekList(deps(), request),
    'nek-use': (request) => nekUse(deps(), request),
    'nek-rotate': (request) => nekRotate(deps(), request),
    'nek-delete': (request) => nekDelete(deps(), request),
    ...auditHandlers(deps),
    ...webhookHandlers(deps),
    ...directoryHandlers(deps),
    ...certificateHandlers(deps),
    ...recordHandlers(deps),
    'status-show': (request) => statusShow(deps(), request),
  };
}

function directoryHandlers(deps: () => OperationDeps) {
  return {
    'directory-list': (request) => directoryList(deps(), request),
    'entry-list': (request) => entryList(deps(), request),
    'entry-show': (request) => entryShow(deps(), request),
    'entry-delete': (request) => entryDelete(deps(), request),
    'entry-import': (request) => entryImport(deps(), request),
    'sealing-key-show': (request) => sealingKeyShow(deps(), request),
    'user-create': (request) => userCreate(deps(), request),
    'user-change': (request) => userChange(deps(), request),
    'block-list': (request) => blockList(deps(), request),
    'user-block': (request) => userBlock(deps(), request),
    'user-unblock': (request) => userUnblock(deps(), request),
    'app-password-create': (request) => appPasswordCreate(deps(), request),
    'app-password-revoke': (request) => appPasswordRevoke(deps(), request),
    'app-password-used': (request) => appPasswordUsed(deps(), request),
    'alias-set': (request) => aliasSet(deps(), request),
    'group-set': (request) => groupSet(deps(), request),
    'map-set': (request) => mapSet(deps(), request),
  } satisfies Partial<Handlers<CredentialStoreContract>>;
}

function recordHandlers(deps: () => OperationDeps) {
  return {
    'record-copy': (request) => recordCopy(deps(), request),
    'record-list': (request) => recordList(deps(), request),
    'record-repair': (request) => recordRepair(deps(), request),
  } satisfies Partial<Handlers<CredentialStoreContract>>;
}

function certificateHandlers(deps: () => OperationDeps) {
  return {
    'serving-certificate-list': (request) => servingCertificateList(deps(), request),
    'challenge-list': (request) => challengeList(deps(), request),
    'certificate-list': (request) => certificateList(deps(), request),
    'certificate-show': (request) => certificateShow(deps(), request),
    'certificate-import': (request) => certificateImport(deps(), request),
    'certificate-order': (request) => certificateOrder(deps(), request),
    'certificate-rewrap': (request) => certificateRewrap(deps(), request),
    'certificate-delete': (request) => certificateDelete(deps(), request),
  } satisfies Partial<Handlers<CredentialStoreContract>>;
}
