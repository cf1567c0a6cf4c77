import type { Config } from '#cluster/config/schema/schema.ts';
import { parseAddressList } from '#shared/address-list.ts';
import { fieldValue, type HeaderField, rfc5322Date, splitHeader } from '#shared/header.ts';
import type { SessionFacts } from './contract.ts';
import type { Directory } from './directory/directory.ts';
import { receivedField } from './received.ts';
import type { RelayRules } from './relay/relay-rules.ts';
import { notPermitted } from './sender.ts';
import { defer, reject } from './verdict.ts';

type Request = { facts: SessionFacts; queueId: string; recipients: string[]; smtpUtf8: boolean; size: number };
/** `directory`: undefined where the users file could not be read; null: none is configured. */
type Deps = {
  rules: RelayRules;
  directory: Directory | undefined | null;
  config: Pick<Config, 'node' | 'limits'>;
  now: Date;
};
type Refused = ReturnType<typeof reject> | ReturnType<typeof defer>;

/**
 * The whole message: size, loops, authorship, and the fields that go in front. `header` is the header block as
 * received, as 'latin1' text.
 */
export function message(request: Request, header: string, deps: Deps) {
  const { facts, queueId, size } = request;
  const { limits, node } = deps.config;
  const why: string[] = [];
  const fields = Map.groupBy(splitHeader(header), (field) => field.name);
  const refused =
    tooLarge(size, limits['message-size'], why) ??
    loops(fields.get('received')?.length ?? 0, limits.hops, why) ??
    authorship(facts, fields.get('from') ?? [], fields.get('sender') ?? [], deps.directory, why);
  if (refused !== undefined) return refused;
  const prepend = [receivedField({ ...request, hostname: node.hostname, now: deps.now })];
  if (isSubmission(facts)) {
    // RFC 6409 §8.2, §8.3
    if (!fields.has('date')) prepend.push(`Date: ${rfc5322Date(deps.now)}\r\n`);
    if (!fields.has('message-id')) prepend.push(`Message-ID: <${queueId}@${node.hostname}>\r\n`);
    if (prepend.length > 1) why.push('missing Date or Message-ID added');
  }
  const trusted = deps.rules.trustedHost(facts);
  const originating = facts.user !== undefined || trusted !== undefined;
  if (facts.user !== undefined) why.push(`originates here: user ${facts.user}`);
  else
    why.push(
      trusted === undefined ? 'comes from outside' : `originates here: client in relay.allow.hosts (${trusted})`,
    );
  return { action: 'accept' as const, prepend, originating, junk: false, why };
}

/** Mail of a user, on whatever listener he logged in. */
function isSubmission(facts: SessionFacts): boolean {
  return facts.kind === 'submission' || facts.user !== undefined;
}

function tooLarge(size: number, largest: number, why: string[]): Refused | undefined {
  if (size <= largest) return undefined;
  why.push(`size ${size} is above limits.message-size (${largest})`);
  return reject(552, '5.3.4', 'Message size exceeds the limit', why);
}

/** RFC 5321 §6.3: count the Received fields. */
function loops(hops: number, limit: number, why: string[]): Refused | undefined {
  why.push(`${hops} Received fields`);
  if (hops <= limit) return undefined;
  why.push(`more than limits.hops (${limit})`);
  return reject(554, '5.4.6', 'Routing loop detected: too many Received fields', why);
}

/** One From field (RFC 5322 §3.6); for a user, Sender, or From where there is none, must be his (DOMINO A4). */
function authorship(
  facts: SessionFacts,
  from: HeaderField[],
  sender: HeaderField[],
  directory: Directory | undefined | null,
  why: string[],
): Refused | undefined {
  if (from.length > 1) return malformed(why, `${from.length} From fields`, 'The message has more than one From field');
  if (isSubmission(facts) && from.length === 0) return malformed(why, 'no From field', 'The message has no From field');
  if (facts.user === undefined) return undefined;
  if (directory === undefined) {
    why.push('the users file cannot be read');
    return defer(451, '4.3.0', 'Author cannot be checked now, please try again later', why);
  }
  if (directory?.permitsAny(facts.user)) {
    why.push(`user ${facts.user} may write as anybody`);
    return undefined;
  }
  if (sender.length > 1)
    return malformed(why, `${sender.length} Sender fields`, 'The message has more than one Sender field');
  const field = sender[0] ?? from[0];
  const name = sender[0] === undefined ? 'From' : 'Sender';
  const authors = field === undefined ? undefined : mailboxesOf(field);
  if (authors === undefined || authors.length === 0) {
    return malformed(why, `${name} names no mailbox`, `The ${name} field names no mailbox that can be checked`);
  }
  const foreign = authors.find((author) => !directory?.permits(facts.user ?? '', author));
  if (foreign === undefined) {
    why.push(`${name} is an address of user ${facts.user}`);
    return undefined;
  }
  const text = `${name}: ${notPermitted(foreign, facts.user, directory)}`;
  why.push(text);
  return reject(550, '5.7.1', text, why);
}

/** The addresses of a field, which may be UTF-8 (RFC 6532). */
function mailboxesOf(field: HeaderField): string[] | undefined {
  return parseAddressList(Buffer.from(fieldValue(field), 'latin1').toString('utf8'));
}

function malformed(why: string[], step: string, text: string): Refused {
  why.push(step);
  return reject(550, '5.6.0', text, why);
}
