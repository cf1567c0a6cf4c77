import { formatDuration } from '#shared/units.ts';
import { type Check, type Finding, listText, type StoreStatus } from './finding.ts';

/** Whether the records of keys are authentic on every node. */

export const RECORD_CHECKS: Record<string, Check> = {
  'record-refused': ({ stores, now }) => stores.flatMap((status) => refused(status, now)),

  'records-unsealed': ({ stores }) => {
    const nodes = stores.filter(({ sealed, keys }) => sealed !== true && keys > 0).map(({ node }) => node);
    if (nodes.length === 0) return [];
    return [
      {
        severity: 'warning',
        about: nodes.length === 1 ? `node ${nodes[0]}` : `nodes ${listText(nodes)}`,
        text: 'would still take keys from anyone who can write to NATS: not every credential-store gives its records a MAC',
        help: 'update Sealpost on every node, and see that each has its NEK; a minute later this is over',
      },
    ];
  },
};

function refused({ node, refused: records = [] }: StoreStatus, now: number): Finding[] {
  return records.map(({ record, writer, reason, at, held }) => {
    const by = writer === undefined ? '' : ` in the name of ${writer}`;
    const when = `${formatDuration(Math.max(0, now - at))} ago`;
    return held
      ? {
          severity: 'warning' as const,
          about: record,
          text: `node ${node} refused a record of it${by}, ${when}: ${reason}; the authentic one is in use`,
          help: `find out who can write to NATS, and change that password; "sealpost keys repair ${record}" ends this warning`,
        }
      : {
          severity: 'error' as const,
          about: record,
          text: `node ${node} has no record of it that it may use; it refused one${by}, ${when}: ${reason}`,
          help: `"sealpost keys repair ${record}" looks for an authentic copy on every node`,
        };
  });
}
