import { isIP } from 'node:net';
import { normalizeDomain } from '#shared/address/address.ts';

/**
 * Arguments of MAIL and RCPT: a path in angle brackets, then parameters (RFC 5321 §4.1.1.2, §4.1.1.3, §4.1.2, with
 * the characters that RFC 6531 §3.3 adds).
 */

export type PathProblem = 'syntax' | 'source-route' | 'too-long';

/** `address` has a normalized domain; '' is the null path. `rest` is what follows the bracket. */
export type ParsedPath = { address: string; rest: string } | { problem: PathProblem };

// No C1 controls, no zero-width characters that make one address look like another, no replacement character,
// which is what bytes that are not UTF-8 were read as.
const NON_ASCII = '\\u00a0-\\u200a\\u200c-\\u205f\\u2061-\\ufefe\\uff00-\\ufffc';
const ATEXT = `[A-Za-z0-9!#$%&'*+/=?^_\`{|}~${NON_ASCII}-]`;
const DOT_STRING = `${ATEXT}+(?:\\.${ATEXT}+)*`;
const QUOTED_STRING = `"(?:[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e${NON_ASCII}]|\\\\[\\x20-\\x7e])*"`;
/**
 * A local part as mailboxes have it that §4.1.2 does not know: with dots at its ends or in a row (docomo.ne.jp, mail.ru,
 * appliances that send). Its meaning is that of its own server, so it goes on as it came.
 */
const LOCAL = `(?:${ATEXT}|\\.)+`;
const PATH = new RegExp(`^<(?:(${LOCAL}|${QUOTED_STRING})@([A-Za-z0-9_.:\\[\\]${NON_ASCII}-]+))?>(.*)$`);
const POSTMASTER = /^<(postmaster)>(.*)$/i;
const WHOLE_DOT_STRING = new RegExp(`^${DOT_STRING}$`);

/** RFC 5321 §4.5.3.1.3: a path has at most 256 octets, its brackets included. */
const MAX_ADDRESS = 254;

/** Parse `<path> parameters`. `postmaster` admits the mailbox without a domain that RCPT must know (§4.1.1.3). */
export function parsePath(text: string, postmaster: boolean): ParsedPath {
  const bare = postmaster ? POSTMASTER.exec(text) : null;
  if (bare !== null) return { address: 'postmaster', rest: bare[2] ?? '' };
  if (/^<@[^>]*:/.test(text)) return { problem: 'source-route' };
  const match = PATH.exec(text);
  if (match === null) return { problem: 'syntax' };
  const [, local, domain, rest = ''] = match;
  if (local === undefined || domain === undefined) return { address: '', rest };
  const normal = normalizeDomain(domain);
  if (domain.endsWith('.') || !isDomain(normal)) return { problem: 'syntax' };
  const address = `${simplestForm(local)}@${normal}`;
  return Buffer.byteLength(address) > MAX_ADDRESS ? { problem: 'too-long' } : { address, rest };
}

/**
 * The argument of MAIL or RCPT as `parsePath` takes it. Some old clients leave out the angle brackets, which `lenient` puts
 * around the first word then.
 */
export function pathIn(argument: string, syntax: 'strict' | 'lenient'): string {
  return syntax === 'lenient' ? argument.replace(/^[^<\s]\S*/, '<$&>') : argument;
}

/** A quoted local part that does not need its quotes is the same mailbox as without them (RFC 5321 §4.1.2). */
function simplestForm(local: string): string {
  if (!local.startsWith('"')) return local;
  const content = local.slice(1, -1).replace(/\\(.)/g, '$1');
  return WHOLE_DOT_STRING.test(content) ? content : local;
}

function isDomain(domain: string): boolean {
  if (domain.startsWith('[')) {
    // RFC 5321 §4.1.3
    if (!domain.endsWith(']')) return false;
    const literal = domain.slice(1, -1);
    return literal.startsWith('ipv6:') ? isIP(literal.slice(5)) === 6 : isIP(literal) === 4;
  }
  return domain.length <= 253 && domain.split('.').every(isLabel);
}

/** Underscores are not allowed in host names, yet mail domains with them exist. */
function isLabel(label: string): boolean {
  return label.length <= 63 && /^[a-z0-9_-]+$/.test(label) && !label.startsWith('-') && !label.endsWith('-');
}

/** Parameters by upper-case keyword; true for one without a value. */
export type EsmtpParameters = Map<string, string | true>;
export type ParsedParameters = { parameters: EsmtpParameters } | { problem: string };

/** Parse ` KEYWORD=value …` as it follows a path. */
export function parseParameters(text: string): ParsedParameters {
  const parameters: EsmtpParameters = new Map();
  if (text.trim() === '') return { parameters };
  if (!text.startsWith(' ')) return { problem: 'A space must stand between path and parameters' };
  for (const word of text.trim().split(/ +/)) {
    // A value may hold no "=" (RFC 5321 §4.1.2), yet senders put one into ORCPT: only the first one splits.
    // A keyword comes back in replies, whose lines are short (§4.5.3.1.5).
    const match = /^([A-Za-z0-9][A-Za-z0-9-]{0,63})(?:=([\x21-\x7e\u00a0-\ufffc]+))?$/.exec(word);
    if (match?.[1] === undefined) return { problem: 'Bad parameter syntax' };
    const keyword = match[1].toUpperCase();
    // RFC 3461 §4 says so for DSN; with other keywords it can only be a mistake.
    if (parameters.has(keyword)) return { problem: `Parameter ${keyword} was given twice` };
    parameters.set(keyword, match[2] ?? true);
  }
  return { parameters };
}

/** Decode xtext (RFC 3461 §4); undefined where it hides control characters, which would end up in headers and logs. */
export function decodeXtext(text: string): string | undefined {
  return withoutControls(text.replace(/\+([0-9A-F]{2})/g, (_, hex: string) => character(hex)));
}

/** Decode ORCPT, `type;xtext` (RFC 3461 §4.2); type utf-8 writes characters as `\x{HEX}` (RFC 6533 §3). */
export function decodeOrcpt(text: string): string | undefined {
  if (!/^utf-8;/i.test(text)) return decodeXtext(text);
  const written = /\\x\{([0-9A-F]+)\}|\+([0-9A-F]{2})/gi;
  return withoutControls(text.replace(written, (_, code?: string, octet?: string) => character(code ?? octet ?? '')));
}

/** NUL for what is no character of Unicode. */
function character(hex: string): string {
  const point = Number.parseInt(hex, 16);
  const none = point > 0x10_ff_ff || (point >= 0xd8_00 && point <= 0xdf_ff);
  return none ? '\0' : String.fromCodePoint(point);
}

function withoutControls(text: string): string | undefined {
  return /[\x00-\x1f\x7f-\x9f]/.test(text) ? undefined : text;
}
