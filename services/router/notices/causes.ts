import type { Outcome } from '#shared/mail/envelope.ts';

/**
 * What the last word on a recipient comes down to, for the sentences that explain it to people: by its enhanced status code
 * (RFC 3463, the IANA registry of RFC 5248), else by its reply code (RFC 5321 §4.2.3). Pure.
 */
export type Cause =
  | 'unknown-mailbox'
  | 'unknown-domain'
  | 'bad-address'
  | 'ambiguous'
  | 'moved'
  | 'no-mail'
  | 'bad-sender'
  | 'disabled'
  | 'full'
  | 'too-large'
  | 'unreachable'
  | 'loop'
  | 'removed'
  | 'smtputf8'
  | 'content'
  | 'policy'
  | 'authentication'
  | 'tls'
  | 'signing'
  | 'rate'
  | 'server-trouble'
  | 'this-system'
  | 'refused';

/** By subject and detail of the enhanced code: the class says only whether it is for good. */
const BY_DETAIL: Readonly<Record<string, Cause>> = {
  '1.1': 'unknown-mailbox',
  '1.2': 'unknown-domain',
  '1.3': 'bad-address',
  '1.4': 'ambiguous',
  '1.6': 'moved',
  '1.7': 'bad-sender',
  '1.8': 'bad-sender',
  '1.10': 'no-mail',
  '2.1': 'disabled',
  '2.2': 'full',
  '2.3': 'too-large',
  '3.4': 'too-large',
  '4.4': 'unknown-domain',
  '4.6': 'loop',
  '6.7': 'smtputf8',
  '7.4': 'tls',
  '7.10': 'tls',
  '7.11': 'tls',
  // RFC 7372, and RFC 8617 for 7.29.
  '7.20': 'authentication',
  '7.21': 'authentication',
  '7.22': 'authentication',
  '7.23': 'authentication',
  '7.24': 'authentication',
  '7.25': 'authentication',
  '7.26': 'authentication',
  '7.27': 'bad-sender',
  '7.28': 'rate',
  '7.29': 'authentication',
  '7.30': 'tls',
};

const BY_SUBJECT: Readonly<Record<string, Cause>> = {
  '3': 'server-trouble',
  '4': 'unreachable',
  '6': 'content',
  '7': 'policy',
};

const BY_CODE: Readonly<Record<number, Cause>> = {
  421: 'server-trouble',
  452: 'server-trouble',
  521: 'no-mail',
  551: 'moved',
  552: 'full',
  553: 'bad-address',
  556: 'no-mail',
};

/** Of what this router says itself, where that differs. */
const OURS: Readonly<Record<string, Cause>> = {
  '3.0': 'this-system',
  '3.1': 'this-system',
  '3.2': 'this-system',
  '3.5': 'this-system',
  '7.0': 'this-system',
  '7.5': 'signing',
};

export function causeOf({ host, reply: { code, enhanced } }: Outcome): Cause {
  const detail = enhanced?.slice(2) ?? '';
  if (code === 454 && detail === '7.5') return 'tls';
  const own = host === undefined;
  // queue/settling/settlement.ts
  if (own && code === 550 && detail === '3.0') return 'removed';
  const [subject = ''] = detail.split('.');
  const found = (own ? OURS[detail] : undefined) ?? BY_DETAIL[detail] ?? BY_SUBJECT[subject] ?? BY_CODE[code];
  return found ?? (own ? 'this-system' : 'refused');
}
