import { join } from 'node:path';
import type { Settings } from '#cluster/config/settings.ts';
import { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { RecordPage, Restored } from '#cluster/replicated/restore.ts';
import { DirectoryRecord } from '#shared/directory/records.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import type { Logger } from '#shared/log.ts';
import { AuditLog } from './audit/audit-log.ts';
import { CREDENTIALS_BUCKET, DIRECTORY_BUCKET, type RecordMap } from './contract.ts';
import { NekSeal } from './neks/nek-seal.ts';
import { openStore } from './open-store.ts';
import { PAGE_BYTES } from './operations/record-list.ts';
import { CredentialRecord } from './records/domain-record.ts';

/**
 * The store of the credentials of a node that does not run, for a backup and for its restoration. Nothing of the service
 * is started: no key is driven, nothing is asked on a bus.
 */
export type ClosedCredentials = AsyncDisposable & {
  /** `lost`: how many records cannot be read. */
  page(map: RecordMap, after: string | undefined): RecordPage & { lost: number };
  /** Take a record of a backup, where nothing newer or other is held. Fails with `store-failed`. */
  restore(map: RecordMap, json: string, options: { dryRun: boolean }): Promise<Restored>;
  readonly audit: Pick<AuditLog, 'append'>;
};

/** Fails like `Store.open`: with `store-locked` while the node runs. `neks`: those of its configuration. */
export async function openClosedCredentials(
  settings: Settings,
  { neks, log }: { neks: readonly Nek[]; log: Logger },
): Promise<ClosedCredentials> {
  const { node } = settings.current;
  await using undo = new AsyncDisposableStack();
  const store = await openStore(join(node.data, 'credentials'), log, true);
  undo.defer(() => store.close());
  const common = { store, node: node.name, log, jetStream: undefined, replicas: 1 };
  const sealOf = (bucket: string): NekSeal => {
    const seal = new NekSeal(bucket);
    seal.use(neks);
    return seal;
  };
  const of = {
    keys: await ReplicatedMap.open({
      ...{ ...common, prefix: 'map!', bucket: CREDENTIALS_BUCKET, schema: CredentialRecord },
      seal: sealOf(CREDENTIALS_BUCKET),
    }),
    directory: await ReplicatedMap.open({
      ...{ ...common, prefix: 'directory!', bucket: DIRECTORY_BUCKET, schema: DirectoryRecord },
      seal: sealOf(DIRECTORY_BUCKET),
    }),
  };
  undo.defer(() => of.keys.close());
  undo.defer(() => of.directory.close());
  const audit = new AuditLog({ store, settings, log });
  undo.defer(() => audit.close());
  const resources = undo.move();
  return {
    page: (map, after) => ({ ...of[map].page(after, PAGE_BYTES), lost: of[map].lost.length }),
    restore: (map, json, options) => of[map].restore(json, options),
    audit,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
