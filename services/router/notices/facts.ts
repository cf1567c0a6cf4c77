import type { DsnLanguage } from '#cluster/config/schema/reports/dsn.ts';
import type { Outcome, RecipientStatus } from '#shared/mail/envelope.ts';
import { oneLine } from '#shared/text.ts';
import type { MessageRecord } from '../store/records.ts';
import type { NoticeKind, StatusChange } from './notices.ts';

/** What a notice is made of. */
export type NoticeFacts = {
  kind: NoticeKind;
  /** The message that the notice is about. */
  about: { id: string; record: MessageRecord };
  /** Who hears of it. */
  to: string;
  /** Its reader is the postmaster: of a copy, or of a notice about mail that nobody sent (null reverse-path). */
  postmaster?: 'copy' | 'dead-letter' | undefined;
  /** Of the texts for people. */
  language: DsnLanguage;
  changes: readonly StatusChange[];
  /** Its first bytes: all of it, or its header block; undefined when it cannot be read. */
  original: Buffer | undefined;
  hostname: string;
  /** ms since 1970 */
  now: number;
  /** ms since 1970: until when it is tried. */
  until: number;
};

/** Of the words of others. */
export const LONGEST_TEXT = 900;

/** Words of others inside a field or a line of text. Where they are cut stands `...`: a plain report stays plain. */
export function clean(text: string): string {
  return text.length > LONGEST_TEXT ? `${oneLine(text, LONGEST_TEXT).slice(0, -1)}...` : oneLine(text, LONGEST_TEXT);
}

export function outcomeOf(status: RecipientStatus): Outcome | undefined {
  return status.state === 'waiting' ? undefined : status.outcome;
}
