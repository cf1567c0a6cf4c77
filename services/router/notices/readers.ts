import type { Config } from '#cluster/config/schema/schema.ts';
import { normalizeAddress } from '#shared/address/address.ts';
import { fieldValue, splitHeader } from '#shared/mail/header.ts';
import type { MessageRecord } from '../store/records.ts';
import type { NoticeFacts } from './facts.ts';
import type { NoticeKind, Notices, StatusChange } from './notices.ts';

/**
 * Who gets which of the notices of a plan. Pure.
 *
 * Nothing comes of a notice of ours that fails: its reverse-path is null, and the postmaster hears only of mail from elsewhere.
 * A notice to the postmaster may come back as such mail, where its mailbox is forwarded through this router; by its field
 * X-Loop it is known again, on every node that has the same postmaster, and causes no other.
 */

export type Letter = Pick<NoticeFacts, 'kind' | 'to' | 'changes' | 'postmaster'>;

const KINDS: readonly NoticeKind[] = ['failed', 'delayed', 'succeeded'];

/**
 * A notice for each kind and reader: whom the mail is from, the owner of a list; and the postmaster, where it is to be told.
 * `original`: the header of the mail at least; undefined when it cannot be read.
 */
export function letters(
  plan: Notices,
  { reversePath }: Pick<MessageRecord, 'reversePath'>,
  dsn: Pick<Config['dsn'], 'postmaster' | 'copies'>,
  original: Buffer | undefined,
): Letter[] {
  const postmaster = comesBack(original, dsn.postmaster) ? undefined : dsn.postmaster;
  if (reversePath === '') {
    // planNotices has failures alone, and only where the postmaster is to be told.
    if (postmaster === undefined || plan.failed.length === 0) return [];
    return [{ kind: 'failed', to: postmaster, changes: plan.failed, postmaster: 'dead-letter' }];
  }
  const readerOf = ({ recipient }: StatusChange): string => recipient.recipient.reportTo ?? reversePath;
  const all: Letter[] = KINDS.flatMap((kind) =>
    [...Map.groupBy(plan[kind], readerOf)].map(([to, changes]) => ({ kind, to, changes })),
  );
  if (dsn.copies === 'none' || postmaster === undefined) return all;
  const others = plan.failed.filter((change) => normalizeAddress(readerOf(change)) !== postmaster);
  if (others.length > 0) all.push({ kind: 'failed', to: postmaster, changes: others, postmaster: 'copy' });
  return all;
}

export const LOOP_FIELD = 'X-Loop';

/** Whether the mail may be a notice to the postmaster. */
function comesBack(original: Buffer | undefined, postmaster: string | undefined): boolean {
  if (original === undefined || postmaster === undefined) return true;
  const fields = splitHeader(original.toString('latin1'));
  return fields.some(
    (f) => f.name === LOOP_FIELD.toLowerCase() && fieldValue(f) === Buffer.from(postmaster).toString('latin1'),
  );
}
