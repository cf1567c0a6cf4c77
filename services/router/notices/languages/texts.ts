import type { MessageTls } from '#shared/mail/message-tls.ts';
import type { Cause } from '../causes.ts';
import type { NoticeKind } from '../notices.ts';

/** All texts of notices for people, a table for each language. Sentences are wrapped to lines by `explanation.ts`. */
export type Texts = {
  /** Between two sentences. */
  between: ' ' | '';
  subject: Readonly<Record<NoticeKind, string>>;
  from: (hostname: string) => string;
  /** What became of the message: for one recipient, as the sender wrote it, and for several that follow. */
  opening: Readonly<Record<NoticeKind, { one: (address: string) => string; several: string }>>;
  /** The same for the postmaster, who did not send it: in a copy, and of mail with the null reverse-path. */
  postmaster: {
    subject: string;
    copy: (sender: string) => string;
    'dead-letter': string;
  };
  until: (date: string) => string;
  mustTls: (tls: MessageTls) => string;
  queueId: (id: string) => string;
  arrived: (date: string) => string;
  /** Beside an address: the one that the sender wrote. */
  sentTo: (original: string) => string;
  /** `reply` is in the words of others. */
  said: (host: string, reply: string) => string;
  /** The same where this router says it. */
  says: (reply: string) => string;
  untried: string;
  /** In front of what the last attempt ended with. */
  expired: string;
  /** In front of what to do. */
  toDo: string;
  causes: Readonly<Record<Cause, { what: string; advice: string }>>;
  /** Of mail that was handed on: finally, or to a server without DSN; of an alias for several, and of a mailing list. */
  fate: Readonly<Record<'final' | 'relayed' | 'expanded' | 'list', string>>;
};
