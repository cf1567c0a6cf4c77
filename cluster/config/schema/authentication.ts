import { z } from 'zod';
import { providerEntry } from './oauth.ts';
import { duration, host, rate } from './values.ts';

/** The section `authentication`: what follows from failed log-ins, who need not log in, and whose tokens count. */

export const authenticationSection = z
  .strictObject({
    limits: z
      .strictObject({
        'user-from-network': rate
          .prefault('10/15m')
          .describe('failures of one user from one network (IPv4 /24, IPv6 /64); beyond it no password is looked at'),
        network: rate
          .prefault('100/15m')
          .describe('failures from one network, whatever the user; users who logged in from there lately still may'),
        user: rate
          .prefault('100/h')
          .describe('failures of one user, whatever the network; from where the user logged in lately it still works'),
      })
      .prefault({})
      .describe('failed log-ins in a time, counted by all nodes together; more get 454 (sealpost locks)'),
    delay: duration('1s', 0, 10_000).describe(
      'how long the reply to a failed log-in is held back; the nearer a limit is, the longer, up to five times',
    ),
    'after-failure': z
      .enum(['continue', 'close'])
      .default('continue')
      .describe('after a failed log-in the client may try again, three times in a session; or the session ends'),
    anonymous: z
      .array(host)
      .prefault([])
      .describe('hosts that may send without a log-in on submission listeners: as in relay.allow.hosts, but not *'),
    oauth: z
      .array(providerEntry)
      .prefault([])
      .describe('OpenID providers whose access tokens users log in with (AUTH OAUTHBEARER and XOAUTH2)'),
  })
  .prefault({});
