import { z } from 'zod';
import { domain, duration, host, listedMailbox, TEN_YEARS_MS } from './values.ts';

/**
 * The section `checks`: what clients and senders must be like beyond the rules of relaying. Every check is off until it is
 * turned on. Policy answers within the ten seconds that its callers wait, so no check may wait longer for DNS.
 */

const LONGEST_WAIT_MS = 8000;

const senderDomain = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe('refuse reverse-paths whose domain has neither MX nor address records'),
    timeout: duration('5s', 100, LONGEST_WAIT_MS).describe('wait for DNS, at most 8s'),
    'on-trouble': z
      .enum(['defer', 'accept'])
      .default('defer')
      .describe('what DNS in trouble means: 451, or the sender passes unchecked'),
    authenticated: z.enum(['exempt', 'checked']).default('exempt').describe('reverse-paths of authenticated users'),
    trusted: z.enum(['exempt', 'checked']).default('exempt').describe('reverse-paths from internal hosts'),
  })
  .prefault({});

const helo = z
  .strictObject({
    refuse: z
      .array(z.enum(['bare-address', 'own-name', 'syntax', 'not-fqdn']))
      .default([])
      .describe(
        'names in EHLO or HELO that are refused: an address without brackets; ours; not a host name; without a dot',
      ),
    own: z
      .array(host)
      .default([])
      .describe(
        'names and addresses that are ours too, besides node.hostname, local domains, and addresses of the machine',
      ),
  })
  .prefault({});

/** `127.0.0.2-11`: each part a number, a range, or `*`. */
const listAnswer = z.string().refine(
  (text) => {
    const parts = text.split('.');
    const fits = (part: string): boolean => {
      const [, least = '', most = least] = /^(\d{1,3})(?:-(\d{1,3}))?$/.exec(part) ?? [];
      return part === '*' || (least !== '' && Number(least) <= Number(most) && Number(most) <= 255);
    };
    return parts.length === 4 && parts[0] === '127' && parts.every(fits);
  },
  { error: (i) => `${JSON.stringify(i.input)} is not an answer of a DNS list such as 127.0.0.2 or "127.0.*.2-11"` },
);

const dnsList = z.strictObject({
  zone: domain.describe('zone of the list'),
  name: z
    .string()
    .regex(/^[\x21-\x7e]{1,100}$/, 'printable ASCII without spaces, at most 100 characters')
    .optional()
    .describe('what replies and logs call the list, where its zone has a secret in it; default: the zone'),
  answers: z
    .array(listAnswer)
    .min(1)
    .default(['127.0.0.2-255'])
    .describe('answers that mean "listed"; each part is a number, a range such as 2-11, or *'),
});

const dnsLists = z
  .strictObject({
    block: z.array(dnsList).prefault([]).describe('clients that one of these DNS lists names are refused (RFC 5782)'),
    allow: z.array(dnsList).prefault([]).describe('DNS lists whose clients pass, whatever the others say'),
    timeout: duration('3s', 100, LONGEST_WAIT_MS).describe('wait for the lists, at most 8s; a silent list lets pass'),
  })
  .prefault({});

const greylist = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe('refuse the first attempts of unknown networks with 451: real servers come again (RFC 6647)'),
    delay: duration('1m', 1000).describe('how soon after its first attempt a client may come again'),
    window: duration('24h', 2000).describe('how long after its first attempt it may'),
    keep: duration('35d', 2000, TEN_YEARS_MS).describe('how long after its last mail a network passes without delay'),
    clients: z
      .array(host)
      .prefault([])
      .describe('clients that are not greylisted: IP addresses, networks, host names with everything below them'),
    recipients: z
      .array(listedMailbox)
      .prefault([])
      .describe('recipients whose mail is not greylisted: addresses, and domains with everything below them'),
  })
  .prefault({});

export const checksSection = z
  .strictObject({
    exempt: z
      .array(host)
      .default([])
      .describe('clients that no check looks at, besides internal hosts: IP addresses, networks, host names'),
    'connections-per-client': z
      .number()
      .int()
      .min(1)
      .optional()
      .describe(
        'concurrent connections from one address (of IPv6: from one /64) to all nodes together; more get 421; default: no limit',
      ),
    'sender-domain': senderDomain,
    helo,
    'dns-lists': dnsLists,
    greylist,
  })
  .prefault({});
