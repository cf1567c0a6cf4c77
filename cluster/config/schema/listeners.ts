import { isIP } from 'node:net';
import { z } from 'zod';
import { duration, listedNetwork, port, size } from './values.ts';

/** The entries of `listeners`, and the section `limits`: what clients may connect to, and how much they may ask for. */

export const listenerEntry = z.strictObject({
  name: z.string().min(1).describe('name in logs, receipts and headers'),
  kind: z
    .enum(['relay', 'submission'])
    .describe('relay: mail between servers; submission: mail from users, who must authenticate'),
  address: z
    .string()
    .refine((a) => isIP(a) !== 0, 'not an IP address')
    .default('::')
    .describe('address to listen on; :: means every address, IPv4 too'),
  port: port.describe('0 picks a free port'),
  tls: z
    .enum(['none', 'starttls', 'starttls-required', 'implicit'])
    .default('starttls')
    .describe('no TLS; offered by STARTTLS; no mail without it; or TLS from the first byte'),
  'require-tls': z
    .array(listedNetwork)
    .default([])
    .describe('clients in these networks get no mail in without STARTTLS, where tls is starttls'),
  'client-certificates': z
    .strictObject({
      ca: z
        .string()
        .optional()
        .describe('PEM file: authorities that certificates of clients are checked against; default: the public ones'),
    })
    .optional()
    .describe('ask clients for a certificate, and note it; none is needed'),
  auth: z
    .enum(['off', 'tls', 'always'])
    .optional()
    .describe('AUTH: never, under TLS only, or in clear text too; default off for relay, tls for submission'),
  proxy: z.array(listedNetwork).default([]).describe('proxies that send the PROXY protocol, version 1 or 2'),
  greeting: z
    .string()
    .regex(/^[\x20-\x7e]*$/, 'printable ASCII only')
    .default('')
    .describe('text after the host name in the greeting; %s in it is the date'),
  'address-syntax': z
    .enum(['strict', 'lenient'])
    .default('strict')
    .describe('addresses of MAIL and RCPT in angle brackets, as RFC 5321 has them; or without too'),
  requiretls: z
    .boolean()
    .optional()
    .describe(
      'offer REQUIRETLS in TLS (RFC 8689); default true for submission, false for relay: set it where all servers behind know it',
    ),
});

export const limitsSection = z
  .strictObject({
    sessions: z.number().int().min(1).default(1000).describe('concurrent connections per process; more get 421'),
    'sessions-per-client': z
      .number()
      .int()
      .min(1)
      .default(50)
      .describe('concurrent connections from one address (of IPv6: from one /64); more get 421'),
    errors: z.number().int().min(1).default(20).describe('refused commands in a session; more get 421'),
    recipients: z
      .number()
      .int()
      .min(100)
      .default(1000)
      .describe('recipients of one message; more get 452 (RFC 5321 §4.5.3.1.8 asks for at least 100)'),
    'for-recipients': z
      .union([z.literal(0), z.literal(1)], { error: 'expected 0 or 1' })
      .default(1)
      .describe(
        'addresses that Received names as the recipient: 1, where a message has no others (RFC 5321 §4.4), or 0, never',
      ),
    'command-length': z.number().int().min(512).default(2048).describe('longest command line in bytes'),
    'message-size': size('50MB', 64 * 1024).describe('largest message (RFC 5321 §4.5.3.1.7 asks for at least 64KB)'),
    'header-size': size('256KB', 1024).describe('largest header block'),
    hops: z.number().int().min(10).default(50).describe('Received fields in a message; more means a loop'),
    timeout: duration('5m').describe('longest silence of a client (RFC 5321 §4.5.3.2.7)'),
  })
  .prefault({});
