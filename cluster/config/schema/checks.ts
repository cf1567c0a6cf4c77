import { z } from 'zod';
import { duration, host } from './values.ts';

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

export const checksSection = z
  .strictObject({
    exempt: z
      .array(host)
      .default([])
      .describe('clients that no check looks at, besides internal hosts: IP addresses, networks, host names'),
    'sender-domain': senderDomain,
    helo,
  })
  .prefault({});
