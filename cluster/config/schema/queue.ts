import { z } from 'zod';
import { tlsReportsSection } from './reports/tls.ts';
import { domain, duration, listedMailbox, listedNetwork, size, TEN_YEARS_MS } from './values.ts';

/** The sections `queue` and `delivery`: how long mail is kept and tried, and how next hops are spoken to. */

export const queueSection = z
  .strictObject({
    copies: z
      .union([z.literal(1), z.literal(2)], { error: 'expected 1 or 2' })
      .default(1)
      .describe('nodes that hold a message on disk before it is accepted; 2 needs a bus'),
    'without-copy': z
      .enum(['refuse', 'accept'])
      .default('refuse')
      .describe(
        'with copies: 2, when no other router takes the copy: answer 451, or accept with one copy and record that',
      ),
    'takeover-after': duration('60s', 2000, 86_400_000).describe(
      'silence of a node after which the holders of its copies deliver its mail',
    ),
    expire: duration('5d', 1, TEN_YEARS_MS).describe('how long a message is tried'),
    retry: z
      .strictObject({
        first: duration('5m', 1000).describe('wait after the first failed attempt; it doubles with each attempt'),
        max: duration('4h', 1000).describe('longest wait between two attempts'),
      })
      .prefault({}),
    'delay-notice': duration('4h', 0).describe('age at which the sender is told that mail is late; 0s: never'),
    reserve: size('64MB').describe('free disk space below which new mail is refused with 452'),
    'active-limit': z
      .number()
      .int()
      .min(100)
      .default(20_000)
      .describe('messages that delivery works on concurrently; the rest waits on disk'),
  })
  .prefault({});

/** A day of the calendar, as written. */
const day = z.string().refine((text) => z.iso.date().safeParse(text).success, {
  error: (i) => `${JSON.stringify(i.input)} is not a day such as 2030-12-31`,
});

/** Mail of ours that leaves in TLS or not at all (DOMINO T6). */
const forcedTls = z
  .strictObject({
    senders: z
      .array(listedMailbox)
      .prefault([])
      .describe('addresses, domains with everything below them, group:NAME or *: all their mail'),
    header: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9-]{0,62}$/, 'not the name of a header field')
      .optional()
      .describe('mail with this field, unless the field says no: X-Require-TLS'),
    subject: z
      .string()
      .trim()
      .min(1)
      .max(100)
      .optional()
      .describe('mail with this text in its subject, in capitals or not: "[secure]"'),
    level: z
      .enum(['required', 'verified'])
      .default('required')
      .describe('TLS at every next hop, or TLS with a certificate that is verified'),
    otherwise: z
      .enum(['return', 'hold'])
      .default('return')
      .describe('mail for a host that is not so protected: returned to its sender, or held until an operator decides'),
  })
  .prefault({});

/** Domains that something does not hold for until a day. */
const exceptions = z
  .array(
    z.strictObject({
      domain: domain.describe('recipient domain'),
      until: day.describe('last day of the exception, by UTC: 2030-12-31'),
    }),
  )
  .prefault([]);

export const deliverySection = z
  .strictObject({
    connections: z.number().int().min(1).default(20).describe('concurrent connections to one next hop'),
    'recipients-per-transaction': z
      .number()
      .int()
      .min(1)
      .max(1000)
      .default(100)
      .describe('recipients of one message in one transaction (RFC 5321 §4.5.3.1.8)'),
    timeout: z
      .strictObject({
        connect: duration('30s').describe('wait for the connection'),
        command: duration('5m').describe('wait for the reply to a command (RFC 5321 §4.5.3.2)'),
        data: duration('10m').describe('wait for the reply to the final dot (RFC 5321 §4.5.3.2.6)'),
      })
      .prefault({}),
    idle: duration('5s').describe('how long an unused connection stays open'),
    'allow-local': z
      .array(listedNetwork)
      .prefault([])
      .describe(
        'networks that MX records and address literals may lead to although they are loopback, link-local or this machine: for tests',
      ),
    'forced-tls': forcedTls.describe(
      'mail of users and of relay.allow.hosts that is sent in TLS or not at all: of these senders, and with these marks',
    ),
    'tls-lost': z
      .enum(['go-on', 'wait'])
      .default('go-on')
      .describe(
        'mail for a destination that had TLS before and offers none: sent in clear text with an alarm, or it waits',
      ),
    dane: z
      .strictObject({
        except: exceptions.describe('domains that get mail without DANE for a while, with the TLS of their route'),
      })
      .prefault({}),
    'mta-sts': z
      .strictObject({
        enabled: z
          .boolean()
          .default(true)
          .describe('fetch the policies of recipient domains (RFC 8461) by HTTPS, and follow them'),
        except: exceptions.describe('domains that get mail without MTA-STS for a while, with the TLS of their route'),
      })
      .prefault({}),
    'tls-reports': tlsReportsSection,
  })
  .prefault({});
