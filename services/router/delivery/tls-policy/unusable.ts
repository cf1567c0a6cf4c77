import type { TriedHost } from '#shared/mail/attempt.ts';
import { reply } from '#shared/mail/reply.ts';
import type { Protection } from '#shared/mail/tls.ts';
import { Unreachable } from '../channel.ts';
import type { HostUnusable } from '../smtp/errors.ts';
import type { Attempt } from './ladder.ts';

/** What it means for the mail that no host of its destination can be used. */

/** The last host cannot be used either. */
export function unreachable(error: HostUnusable, attempt: Attempt, heard: readonly TriedHost[]): Unreachable {
  const { reply: said, local, host } = error;
  return new Unreachable('deferred', said, {
    local,
    host,
    others: besides(error, heard),
    ...protectionOf(error, attempt),
  });
}

function besides({ host }: HostUnusable, heard: readonly TriedHost[]): TriedHost[] {
  return heard.filter((one) => one.host !== host);
}

/**
 * Every host has failed for want of what the message asks of TLS (RFC 8689 §4.2.1). A host that does all but REQUIRETLS
 * says most.
 */
export function insecure(failed: readonly HostUnusable[], attempt: Attempt, heard: readonly TriedHost[]): Unreachable {
  const error = failed.findLast((one) => one.insecure === '5.7.30') ?? failed.at(-1);
  if (error?.insecure === undefined) throw new Error('no host is insecure');
  const said = reply(550, error.insecure, error.reply.text);
  return new Unreachable('failed', said, {
    ...{ host: error.host, insecure: true, others: besides(error, heard) },
    ...protectionOf(error, attempt),
  });
}

function protectionOf({ tls }: HostUnusable, { wanted }: Attempt): { protection?: Protection } {
  if (tls === undefined) return {};
  const { certificate, reason: why } = tls;
  const protection: Protection = { wanted: wanted.tls, by: wanted.by, reached: 'clear', why };
  return { protection: certificate === undefined ? protection : { ...protection, certificate } };
}
