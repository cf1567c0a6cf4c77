import type { DsnLanguage } from '#cluster/config/schema/reports/dsn.ts';
import type { Outcome } from '#shared/mail/envelope.ts';
import { rfc5322Date } from '#shared/mail/header.ts';
import { needsTls } from '#shared/mail/message-tls.ts';
import { formatReply } from '#shared/mail/reply.ts';
import { causeOf } from './causes.ts';
import { clean, type NoticeFacts, outcomeOf } from './facts.ts';
import { TEXTS } from './languages/tables.ts';
import type { Texts } from './languages/texts.ts';
import { wrapped } from './languages/wrap.ts';
import type { StatusChange } from './notices.ts';

/**
 * The part of a notice for people: what became of the message, then for each recipient why, what the other server said
 * (as it said it, on one line), and what to do.
 */

const COLUMNS = 72;
const INDENT = '    ';

export function explanation(facts: NoticeFacts): string[] {
  const { kind, about, changes, hostname, until, language } = facts;
  const texts = TEXTS[language];
  const { tls } = about.record;
  const paragraph = [opening(facts, texts), ...(kind === 'delayed' ? [texts.until(dateIn(language, until))] : [])];
  const demand = kind !== 'succeeded' && tls !== undefined && needsTls(tls) ? wrapped(texts.mustTls(tls), COLUMNS) : [];
  return [
    ...wrapped(texts.from(hostname), COLUMNS),
    '',
    ...wrapped(paragraph.join(texts.between), COLUMNS),
    ...demand,
    '',
    texts.queueId(about.id),
    texts.arrived(dateIn(language, about.record.arrived)),
    '',
    ...changes.flatMap((change) => [...aboutRecipient(change, facts, texts), '']),
  ];
}

function opening({ kind, about, changes, postmaster }: NoticeFacts, texts: Texts): string {
  if (postmaster === 'dead-letter') return texts.postmaster['dead-letter'];
  if (postmaster === 'copy') return texts.postmaster.copy(clean(about.record.reversePath));
  const [first, ...others] = changes;
  const { one, several } = texts.opening[kind];
  return first !== undefined && others.length === 0 ? one(writtenBySender(first)) : several;
}

function aboutRecipient(change: StatusChange, facts: NoticeFacts, texts: Texts): string[] {
  const { address, original } = change.recipient.recipient;
  const name = `<${clean(address)}>${original === undefined ? '' : ` ${texts.sentTo(clean(original))}`}`;
  return [name, ...explain(change, facts, texts).map((line) => INDENT + line)];
}

function explain({ status, notice }: StatusChange, { kind, postmaster }: NoticeFacts, texts: Texts): string[] {
  const wrap = (text: string): string[] => wrapped(text, COLUMNS - INDENT.length);
  if (notice === 'expanded' || notice === 'list') return wrap(texts.fate[notice]);
  const outcome = outcomeOf(status);
  if (outcome === undefined) return wrap(texts.untried);
  const said = saidBy(outcome, texts);
  if (status.state === 'delivered') return [...wrap(texts.fate[notice === 'final' ? 'final' : 'relayed']), said];
  const { what, advice } = texts.causes[causeOf(outcome)];
  return [
    ...(status.state === 'expired' ? wrap(texts.expired) : []),
    ...wrap(what),
    said,
    // The advice is for a sender.
    ...(kind === 'failed' && postmaster === undefined ? wrap(texts.toDo + texts.between + advice) : []),
  ];
}

function saidBy({ host, reply }: Outcome, texts: Texts): string {
  const text = clean(formatReply(reply));
  return host === undefined ? texts.says(text) : texts.said(clean(host), text);
}

function writtenBySender({ recipient: { recipient } }: StatusChange): string {
  return clean(recipient.original ?? recipient.address);
}

/** `at`: ms since 1970. In UTC, as the fields for programs. */
function dateIn(language: DsnLanguage, at: number): string {
  if (language === 'en') return rfc5322Date(at);
  return new Intl.DateTimeFormat(language, { dateStyle: 'long', timeStyle: 'long', timeZone: 'UTC' }).format(at);
}
