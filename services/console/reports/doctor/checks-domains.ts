import type { DomainConfig } from '#cluster/config/schema/schema.ts';
import { withParents } from '#shared/address/domains.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { type Unsigned, wayOn } from '../keys/way-on.ts';
import { type Check, type Facts, type Finding, listText } from './finding.ts';

/**
 * Whether what the configuration asks for and the keys that are there fit together; `services/signer/plan.ts` has the
 * rules.
 */

export const DOMAIN_CHECKS: Record<string, Check> = {
  'enforce-without-key': (facts) =>
    unsigned(facts, 'enforce').map((domain) => ({
      severity: 'error',
      about: domain.name,
      text: `signing is enforced, and ${domain.whose} has no active key that may sign: its mail waits in the queue`,
      help: wayOn(domain, facts),
    })),

  'unsigned-domain': (facts) =>
    unsigned(facts, 'best-effort').map((domain) => ({
      severity: 'note',
      about: domain.name,
      text: `${domain.whose} has no active key that may sign: its mail is sent without a signature`,
      help: `${wayOn(domain, facts)}; or say signing: { mode: off }`,
    })),

  'mail-unsigned': ({ unsigned: mail }) =>
    mail.map(({ domain, reason, count }) => ({
      severity: 'warning',
      about: domain,
      text: `${count === 1 ? '1 message has' : `${count} messages have`} left without a signature since the start of the routers: ${reason}`,
      help: 'correct what the reason says; the log of the signer names each message, "mail leaves without a signature"',
    })),

  'tls-lost': ({ lostTls = [] }) =>
    lostTls.map(({ domain, host, since, mail }) => ({
      severity: 'warning',
      about: domain,
      text: `had TLS before, and ${host} has offered none since ${new Date(since).toISOString()}: its mail ${mail === 'waits' ? 'waits' : 'is sent in clear text'}`,
      help: 'ask the domain whether that is meant: somebody on the way can take the offer out; delivery.tls-lost says whether its mail waits',
    })),

  'signing-off': ({ domains, stored }) =>
    domains
      .filter((entry) => entry.signing.mode === 'off' && activeKeys(stored, entry.name).length > 0)
      .map(({ name }) => ({
        severity: 'warning',
        about: name,
        text: `has active keys (${selectors(activeKeys(stored, name))}), and signing.mode is off: they never sign`,
        help: 'set the mode to enforce or best-effort, or retire the keys',
      })),

  'selectors-missing': ({ domains, stored }) => domains.flatMap((entry) => missingSelectors(entry, stored)),

  'signed-as-another': ({ domains, stored }) =>
    domains.flatMap((entry): Finding[] => {
      const signAs = entry['sign-as'];
      const own = activeKeys(stored, entry.name);
      if (signAs === undefined || own.length === 0) return [];
      return [
        {
          severity: 'note',
          about: entry.name,
          text: `has active keys (${selectors(own)}), but its mail is signed with those of ${signAs}: they never sign`,
          help: 'remove sign-as, or retire the keys',
        },
      ];
    }),
};

const activeKeys = (stored: readonly KeyStatus[], domain: string): KeyStatus[] =>
  stored.filter((key) => key.domain === domain && key.state === 'active');

const selectors = (keys: readonly KeyStatus[]): string => listText(keys.map((key) => key.selector));

/** Domains with this mode whose mail nothing signs, and whose keys should. */
function unsigned({ domains, stored }: Facts, mode: string): Unsigned[] {
  return domains.flatMap((entry) => {
    if (entry.signing.mode !== mode) return [];
    const allowed = entry.signing.selectors?.map((s) => s.toLowerCase());
    const signs = (domain: string): boolean =>
      activeKeys(stored, domain).some((key) => allowed === undefined || allowed.includes(key.selector));
    const signAs = entry['sign-as'];
    const signed = signAs === undefined ? withParents(entry.name).some(signs) : signs(signAs);
    return signed ? [] : [{ name: entry.name, whose: signAs ?? entry.name, selectors: allowed }];
  });
}

function missingSelectors(entry: DomainConfig, stored: readonly KeyStatus[]): Finding[] {
  const owners = entry['sign-as'] === undefined ? [...withParents(entry.name)] : [entry['sign-as']];
  const there = stored.filter((key) => owners.includes(key.domain)).map((key) => key.selector);
  const missing = entry.signing.selectors?.filter((s) => !there.includes(s.toLowerCase())) ?? [];
  if (missing.length === 0 || entry.signing.mode === 'off') return [];
  return [
    {
      severity: 'warning',
      about: entry.name,
      text: `signing.selectors names ${listText(missing)}, and no such key exists`,
      help: 'remove signing.selectors, so that every active key signs, or name keys that are there',
    },
  ];
}
