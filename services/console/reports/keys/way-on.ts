import { datedSelector } from '#shared/dkim/dated-selector.ts';
import type { DnsView, KeyStatus } from '#shared/keys/key-status.ts';
import type { RotationStatus } from '#shared/keys/rotation.ts';

/**
 * What lets a domain sign that has no active key which may: clauses without their full stop, whose commands can be run as
 * they stand. Pure.
 */

/** States on the way to `active`, the nearest first. */
const COMING = ['proven', 'published', 'replicated', 'created'] as const satisfies KeyStatus['state'][];

/** `whose`: the domain whose keys are to sign. `selectors`: those that may, where `signing.selectors` names some. */
export type Unsigned = { name: string; whose: string; selectors?: readonly string[] | undefined };
export type KnownKeys = { stored: readonly KeyStatus[]; rotations: readonly RotationStatus[]; now: number };

export function wayOn({ name, whose, selectors }: Unsigned, { stored, rotations, now }: KnownKeys): string {
  const own = stored.filter(({ domain }) => domain === whose);
  const may = ({ selector }: { selector: string }): boolean => selectors?.includes(selector) ?? true;
  const frozen = rotations.find(({ domain, state, to }) => domain === whose && state === 'frozen' && to.some(may));
  if (frozen !== undefined)
    return `"sealpost keys resume ${whose}" continues the rotation that is frozen, and ${frozen.to.map(({ selector }) => selector).join(', ')} signs`;
  const coming = nearest(own.filter(may));
  if (coming !== undefined) return stepOf(coming);
  const kept = own.find(({ state }) => state === 'active');
  if (kept !== undefined)
    return `name ${kept.selector}, which is active, in signing.selectors of ${name}, or take signing.selectors out, so that every active key signs`;
  const retiring = own.find((key) => key.state === 'retiring' && may(key));
  if (retiring !== undefined)
    return `"sealpost keys activate ${whose} ${retiring.selector}" lets ${retiring.selector} sign again, whose record is still in DNS`;
  return createText(whose, selectors, own, now);
}

/** The key that is nearest to signing; one that goes on to it by itself comes first. */
function nearest(keys: readonly KeyStatus[]): KeyStatus | undefined {
  const coming = COMING.flatMap((state) => keys.filter((key) => key.state === state));
  return coming.find(({ activate }) => activate) ?? coming[0];
}

function stepOf(key: KeyStatus): string {
  const { domain, selector, state, publish, problem } = key;
  const name = `${domain} ${selector}`;
  const activate = `"sealpost keys activate ${name}" lets it sign`;
  if (problem?.permanent)
    return `${selector} is held up: ${problem.text}; fix that, and "sealpost keys resume ${domain}" goes on with it`;
  const then = key.activate ? 'it signs by itself then' : `then ${activate}`;
  switch (state) {
    case 'proven':
      return key.activate ? `wait a moment: ${selector} is about to sign` : `${selector} is ready: ${activate}`;
    case 'published':
      return `${standingText(key)}; ${then}`;
    case 'replicated':
      if (publish === 'manual') return `publish what "sealpost keys export-dns ${name}" prints; ${then}`;
      return `${problem === undefined ? `${selector} is about to be published` : `see to this: ${problem.text}`}; ${then}`;
    default:
      return `"sealpost keys show ${name}" shows what ${selector} waits for; ${then}`;
  }
}

/** What a key waits for whose record has begun to appear. */
function standingText({ domain, selector, dns, problem }: KeyStatus): string {
  const late = dns === undefined ? undefined : laggingHelp(dns);
  if (late !== undefined) return late;
  const why = problem?.text ?? (dns === undefined || dns.verdict === 'ok' ? undefined : dns.summary);
  return why === undefined
    ? `"sealpost keys verify ${domain} ${selector}" shows which name server does not return its record yet`
    : `see to this: ${why}`;
}

/** A new key, with a selector that may sign and that no key has. */
function createText(
  whose: string,
  selectors: readonly string[] | undefined,
  own: readonly KeyStatus[],
  now: number,
): string {
  const taken = new Set(own.map(({ selector }) => selector));
  const selector =
    selectors === undefined ? datedSelector('rsa-2048', now, taken) : selectors.find((one) => !taken.has(one));
  if (selector === undefined)
    return `every key that signing.selectors names is over: take signing.selectors out, so that a new key signs`;
  return `"sealpost keys create ${whose} ${selector}" makes a key, and says what becomes of it`;
}

/**
 * Where some name servers of a zone return what others have yet to get: which, and what to do there. The alias of a key
 * stands in another zone than its record, and is no sign of that.
 */
export function laggingHelp({ servers }: DnsView): string | undefined {
  const right = servers.filter(({ verdict, detail }) => verdict === 'ok' && !detail.startsWith('has an alias'));
  const late = servers.filter(({ verdict }) => verdict === 'missing' || verdict === 'different');
  if (right.length === 0 || late.length === 0) return undefined;
  const names = late.map(({ server }) => server).join(' and ');
  return `see that ${names} transfers the zone from its primary: ${right.map(({ server }) => server).join(' and ')} has the record already, and the next look finds it there too; a server that no longer serves the zone has to leave its NS records, or dns.zones`;
}
