import type { Config } from '#cluster/config/schema/schema.ts';
import { DnsResolver } from '#shared/dns/resolver.ts';
import type { Logger } from '#shared/log.ts';
import { hasException, warnOfEnded } from '../tls-policy/exceptions.ts';

/** What the configuration says of DANE: which domains are excepted from it until when, and that the resolver validates. */

/** Whether an exception turns DANE off for a recipient domain today. */
export function isExcepted({ delivery }: Config, domain: string, now: number): boolean {
  return hasException(delivery.dane.except, domain, now);
}

/** Say in the log what of a new configuration has no effect. Never fails. */
export async function warnOfNoEffect({ delivery, dns }: Config, log: Logger): Promise<void> {
  warnOfEnded(delivery.dane.except, 'DANE', log);
  if (!dns.dnssec) return;
  // Each by itself: where one does not validate, DANE would be off as soon as it is the one that answers.
  await Promise.all(
    dns.servers.map(async (server) => {
      if (await provesRoot(server, dns.timeout)) return;
      log.warn(
        { server },
        'dns.dnssec is set, but this resolver does not prove the root zone: unless it has trust anchors of its own, it does not validate, and DANE has no effect while it is asked',
      );
    }),
  );
}

/** Whether a resolver proves what everybody can prove. One that gives no answer is trouble that shows elsewhere. */
async function provesRoot(server: string, timeout: number): Promise<boolean> {
  const resolver = new DnsResolver({ servers: [server], timeout });
  try {
    const answer = await resolver.lookup('.', 'NS');
    return answer.kind === 'trouble' || answer.authenticated;
  } finally {
    resolver.close();
  }
}
