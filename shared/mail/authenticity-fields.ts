import type { Authenticity, DkimFound, SpfFound } from './authenticity.ts';

/**
 * What was found, as header fields: Authentication-Results (RFC 8601) and Received-SPF (RFC 7208 §9.1). Strangers chose most
 * of the values, so each is cut, and written as what cannot end a value, a comment or the field.
 */

const MAX_LINE = 78;
/** Of a value: the longest domain, and quotes. With its name it stays below the 998 of RFC 5322 §2.1.1. */
const LONGEST_VALUE = 255;
const LONGEST_COMMENT = 300;

/** RFC 2045 §5.1. */
const TOKEN = /^[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+$/;
const DOT_ATOM = /^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*$/;

export function authenticationResults(authservId: string, { spf, dkim, arc, dmarc }: Authenticity): string {
  const signatures = dkim.length === 0 ? [['dkim=none']] : dkim.map(signature);
  const policy = dmarc.record === undefined ? [] : [`(p=${dmarc.record.p}${dmarc.record.testing ? ' t=y' : ''})`];
  const results = [
    [
      `spf=${spf.result}`,
      ...comment(spf.reason ?? (spf.domain === '' ? 'no domain' : undefined)),
      property(`smtp.${spf.scope === 'helo' ? 'helo' : 'mailfrom'}`, spf.domain),
    ],
    ...signatures,
    [`arc=${arc.result}`, ...comment(arc.reason ?? (arc.sealer && `${arc.sets} sets, the last by ${arc.sealer}`))],
    [
      ...[`dmarc=${dmarc.result}`, ...policy, ...comment(dmarc.reason)],
      ...(dmarc.from === undefined ? [] : [property('header.from', dmarc.from)]),
      ...(dmarc.policy === undefined ? [] : [property('policy.dmarc', dmarc.policy)]),
    ],
  ];
  const clauses = results.map((words) => words.filter((word) => word !== ''));
  return layOut('Authentication-Results', [[`${authservId};`], ...ended(clauses)]);
}

function signature({ result, domain, selector, algorithm, signature, reason }: DkimFound): string[] {
  return [
    ...[`dkim=${result}`, ...comment(reason)],
    ...(domain === undefined ? [] : [property('header.d', domain)]),
    ...(selector === undefined ? [] : [property('header.s', selector)]),
    ...(algorithm === undefined ? [] : [property('header.a', algorithm)]),
    ...(signature === undefined ? [] : [property('header.b', signature)]),
  ];
}

export type SpfTrace = { client: { address: string; helo: string }; reversePath: string; hostname: string };

export function receivedSpf(spf: SpfFound, { client, reversePath, hostname }: SpfTrace): string {
  const pairs: [name: string, value: string][] = [
    ['receiver', hostname],
    ['identity', spf.scope === 'helo' ? 'helo' : 'mailfrom'],
    ['client-ip', client.address],
    ['helo', client.helo],
    ['envelope-from', reversePath],
    ...(spf.reason === undefined ? [] : [['problem', spf.reason] as [string, string]]),
  ];
  const words = pairs.filter(([, value]) => value !== '').map(([name, value]) => `${name}=${dotAtom(value)}`);
  const text = SENTENCES[spf.result](spf.domain, client.address);
  return layOut('Received-SPF', [
    [spf.result, ...comment(`${hostname}: ${text}`)],
    ...ended(words.map((word) => [word])),
  ]);
}

const SENTENCES: Record<SpfFound['result'], (domain: string, address: string) => string> = {
  pass: (domain, address) => `${domain} designates ${address} as permitted sender`,
  fail: (domain, address) => `${domain} does not designate ${address} as permitted sender`,
  softfail: (domain, address) => `${domain} probably does not designate ${address} as permitted sender`,
  neutral: (domain, address) => `${address} is neither permitted nor denied by ${domain}`,
  none: (domain) => `${domain} does not designate permitted senders`,
  temperror: (domain) => `temporary error in looking up ${domain}`,
  permerror: (domain) => `record of ${domain} cannot be used`,
};

/** A semicolon after each but the last. */
function ended(clauses: string[][]): string[][] {
  return clauses.map((words, i) => (i === clauses.length - 1 ? words : [...words.slice(0, -1), `${words.at(-1)};`]));
}

function property(name: string, value: string): string {
  const text = ascii(value, LONGEST_VALUE);
  return text === '' ? '' : `${name}=${TOKEN.test(text) ? text : quoted(text)}`;
}

function dotAtom(value: string): string {
  const text = ascii(value, 320);
  return DOT_ATOM.test(text) ? text : quoted(text);
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/** Its words, so that lines may break between them. */
function comment(text: string | undefined): string[] {
  if (!text) return [];
  const words = ascii(text, LONGEST_COMMENT)
    .replace(/[()\\]/g, '\\$&')
    .split(/ +/);
  return `(${words.join(' ')})`.split(' ');
}

function ascii(text: string, longest: number): string {
  return text
    .slice(0, longest)
    .replace(/[^\x20-\x7e]+/g, '?')
    .trim();
}

/** Each clause begins a line of its own, and is broken between its words where it must. */
function layOut(name: string, clauses: readonly string[][]): string {
  const lines: string[] = [];
  for (const [i, words] of clauses.entries()) {
    let line = i === 0 ? `${name}:` : '\t';
    let empty = i > 0;
    for (const word of words) {
      if (!empty && line.length + 1 + word.length > MAX_LINE) {
        lines.push(line);
        line = '\t';
        empty = true;
      }
      line += empty ? word : ` ${word}`;
      empty = false;
    }
    lines.push(line);
  }
  return `${lines.join('\r\n')}\r\n`;
}
