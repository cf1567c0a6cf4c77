import type { Config } from '#cluster/config/schema/schema.ts';
import type { Logger } from '#shared/log.ts';
import type { Resolver } from '../resolver.ts';
import { hasException, warnOfEnded } from '../tls-policy/exceptions.ts';

/** What the configuration says of DANE: which domains are excepted from it until when, and that the resolver validates. */

/** Whether an exception turns DANE off for a recipient domain today. */
export function isExcepted({ delivery }: Config, domain: string, now: number): boolean {
  return hasException(delivery.dane.except, domain, now);
}

/** Say in the log what of a new configuration has no effect. Never fails. */
export async function warnOfNoEffect({ delivery, dns }: Config, resolver: Resolver, log: Logger): Promise<void> {
  warnOfEnded(delivery.dane.except, 'DANE', log);
  if (dns.dnssec && !(await provesRoot(resolver))) {
    log.warn(
      { servers: dns.servers },
      'dns.dnssec is set, but the resolver does not prove the root zone: unless it has trust anchors of its own, it does not validate, and DANE has no effect',
    );
  }
}

/** Whether the resolver proves what everybody can prove. One that gives no answer is trouble that shows elsewhere. */
async function provesRoot(resolver: Resolver): Promise<boolean> {
  try {
    return (await resolver.ask('.', 'NS')).authenticated;
  } catch {
    return true;
  }
}
