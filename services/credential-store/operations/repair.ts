import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import { DIRECTORY_KINDS, directoryKey } from '#shared/directory/records.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { RepairedRecord } from '../contract.ts';
import { domainKey, domainOfKey } from '../records/domain-record.ts';
import type { Operation, OperationDeps } from './deps.ts';

/** What becomes of records that a node refused or lost: they are written again from the newest authentic copy of any node. */

/** How long another node may take for its copy. */
const ANSWER_MS = 5000;

export const recordCopy: Operation<'record-copy'> = (deps, { key }) => {
  const { settings } = deps;
  const record = mapOf(deps, key).copyOf(key);
  return { node: settings.current.node.name, ...(record === undefined ? {} : { record }) };
};

/** Of one domain, or of every record that this node refused. */
export const recordRepair: Operation<'record-repair'> = async (deps, { domain }) => {
  const { log } = deps;
  const refused = [...deps.map.refused, ...deps.directory.refused].map(({ key }) => key);
  const keys = domain === undefined ? refused : [domainKey(normalizeDomain(domain))];
  const repaired: RepairedRecord[] = [];
  for (const key of keys) {
    const map = mapOf(deps, key);
    const copies = await copiesOf(deps, key);
    const nobody = map.copyOf(key) === undefined && copies.length === 0;
    if (nobody && !refused.includes(key)) {
      throw new SealpostError('not-found', `no node has a record of ${domain}, and none was refused`);
    }
    const { version, copy, value } = await map.repair(
      key,
      copies.map(({ record }) => record),
    );
    const from = copy === undefined ? undefined : copies[copy]?.node;
    const name = domainOfKey(key) ?? key;
    repaired.push({ record: name, found: value !== undefined, version, ...(from === undefined ? {} : { from }) });
    log.warn({ record: name, version, from }, 'record written again, as an administrator ordered');
  }
  return { repaired };
};

/** The map that a record is in: the names of entries of the directory begin with their kind. */
function mapOf({ map, directory }: OperationDeps, key: string): Pick<ReplicatedMap<unknown>, 'copyOf' | 'repair'> {
  return DIRECTORY_KINDS.some((kind) => key.startsWith(directoryKey(kind, ''))) ? directory : map;
}

/** What the other live nodes have. Fails with `no-quorum` when one does not answer: its copy may be the newest. */
async function copiesOf({ map, presence, stores, settings }: OperationDeps, key: string) {
  const own = settings.current.node.name;
  const nodes = presence.live().flatMap((h) => (h.kind === 'credential-store' && h.node !== own ? [h.node] : []));
  const answers = map.state === 'local' ? [] : [...new Set(nodes)];
  const copies = await Promise.all(
    answers.map(async (node) => {
      try {
        return await stores['record-copy']({ key }, { node, timeout: ANSWER_MS });
      } catch (error) {
        const text = `node ${node}, whose copy may be the newest, does not answer: ${errorText(error)}`;
        throw new SealpostError('no-quorum', text, { cause: error });
      }
    }),
  );
  return copies.flatMap(({ node, record }) => (record === undefined ? [] : [{ node, record }]));
}
