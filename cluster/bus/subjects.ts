import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Address } from './bus.ts';

/**
 * NATS subjects, derived from contracts and spelled nowhere else (`shared/contract.ts` lists their forms).
 */

/** A part of a subject. Dots, wildcards and white space would address something else, or end the protocol line. */
const TOKEN = /^[A-Za-z0-9_-]{1,64}$/;

function subject(version: number, ...tokens: string[]): string {
  const bad = tokens.find((token) => !TOKEN.test(token));
  if (bad !== undefined) {
    throw new SealpostError(CALL_ERRORS.malformed, `${JSON.stringify(bad)} cannot be part of a bus subject`);
  }
  return `sealpost.v${version}.${tokens.join('.')}`;
}

/** Where requests for an operation go: to any instance, or to the one on `node`. */
export function operationSubject(address: Address, node?: string): string {
  const { version, service, operation } = address;
  return node === undefined ? subject(version, service, operation) : subject(version, service, operation, node);
}

/**
 * A process by its connection to NATS of this number. A server that hangs still has the subscriptions of processes that
 * have left it, and others would go on sending it what is for them.
 */
export const connectionName = (process: string, connection: number): string => `${process}-${connection}`;

/** All subjects of an operation, as a permission names them: any instance, and each node's. */
export function operationSubjects(address: Address): string[] {
  return [operationSubject(address), `${operationSubject(address)}.*`];
}

/** Any text as one token of a subject: each byte outside A-Z a-z 0-9 _ - as `=XX`. */
export function encodeToken(text: string): string {
  return Buffer.from(text)
    .toString('latin1')
    .replace(/[^A-Za-z0-9_-]/g, (byte) => `=${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

/**
 * The prefix of the subjects on which a user of NATS gets replies. Each user has its own, so that NATS can be
 * configured to let no user read replies to another.
 */
export function inboxPrefix(user: string | undefined): string {
  return user === undefined ? '_INBOX' : `_INBOX_${encodeToken(user)}`;
}

/** The prefix of those on which it gets the replies of one service, which alone may publish there. */
export function replyPrefix(user: string | undefined, service: string): string {
  return `${inboxPrefix(user)}.${service}`;
}

/** Whether a reply may go there. A client could name any subject, to have us publish where it may not. */
export function isInbox(subject: string): boolean {
  return /^_INBOX(_[^.]+)?\../.test(subject);
}

/** Who gets the replies in an inbox: all of it but the number of the reply, which is another for each request. */
export function callerOf(inbox: string): string {
  return inbox.slice(0, inbox.lastIndexOf('.'));
}

/** A subject as far as permissions tell it from others: without instances, calls, and keys of records. */
export function permissionSubject(subject: string): string {
  const tokens = subject.split('.');
  if (subject.startsWith('_INBOX') || subject.startsWith('$KV.')) return tokens.slice(0, 2).join('.');
  if (!subject.startsWith('sealpost.')) return subject;
  return tokens.slice(0, tokens[3] === 'event' ? 5 : 4).join('.');
}

/** Where an event of a service is announced. */
export function eventSubject(service: string, version: number, event: string): string {
  return subject(version, service, 'event', event);
}
