import { effectiveAuth } from '#cluster/config/rules/rules.ts';
import type { ListenerConfig } from '#cluster/config/schema/schema.ts';
import { isInNetwork, parseIp, parseNetwork } from '#shared/address/ip-address.ts';
import type { CommandSession } from './handler.ts';

/** What a session may use as it stands: EHLO advertises it, and the commands themselves keep to it. */

/** The octets of an AUTH line with its CRLF: RFC 4954 §4 has 12,288 for what every mechanism in use needs. */
const LONGEST_AUTH_LINE = 12_290;

type Asked = Pick<CommandSession, 'listener' | 'secure' | 'connection'>;

/** Whether this session may go over to TLS, and if not, why. */
export function tlsOffer({ listener, secure, connection }: Asked): 'offered' | 'none' | 'no-certificate' {
  if (secure || listener.tls === 'none' || listener.tls === 'implicit') return 'none';
  return connection.canUpgrade() ? 'offered' : 'no-certificate';
}

/** Whether this client gets mail in under TLS only. */
export function requiresTls({ listener, facts }: Pick<CommandSession, 'listener' | 'facts'>): boolean {
  if (listener.tls === 'starttls-required') return true;
  const networks = listener['require-tls'];
  const address = networks.length === 0 ? undefined : parseIp(facts.client.address);
  return (
    address !== undefined &&
    networks.some((text) => {
      const network = parseNetwork(text);
      return network !== undefined && isInNetwork(address, network);
    })
  );
}

/**
 * Whether a listener knows REQUIRETLS (RFC 8689): as written, else for users only. A stranger could have mail returned to
 * whom he likes, by a forged reverse-path and a recipient of ours behind a server that does not know it.
 */
export function knowsRequireTls({ requiretls, kind }: ListenerConfig): boolean {
  return requiretls ?? kind === 'submission';
}

/** Whether a message may ask for TLS on all of its way (RFC 8689 §2): not where it did not come in TLS. */
export function offersRequireTls({ listener, secure }: Asked): boolean {
  return knowsRequireTls(listener) && secure;
}

/**
 * Whether AUTH can be used in this session as it stands. Mechanisms that need TLS are not advertised without it, and
 * AUTH then answers as if it did not exist (DOMINO A2). 538 is what RFC 4954 §6 keeps for history only.
 */
export function authOffer(session: Asked): 'offered' | 'none' | 'tls-first' {
  const setting = effectiveAuth(session.listener);
  if (setting === 'off') return 'none';
  if (setting === 'always' || session.secure) return 'offered';
  // There is a way to TLS: 530 tells the client to take it. Without one the command does not exist on this listener.
  return tlsOffer(session) === 'offered' ? 'tls-first' : 'none';
}

export type Mechanism = 'PLAIN' | 'LOGIN' | 'OAUTHBEARER' | 'XOAUTH2';

/** The SASL mechanisms of this server. Those with a token need a provider that it comes from. */
export function mechanisms({ providers }: Pick<CommandSession, 'providers'>): readonly Mechanism[] {
  return providers.length === 0 ? ['PLAIN', 'LOGIN'] : ['PLAIN', 'LOGIN', 'OAUTHBEARER', 'XOAUTH2'];
}

/** How long a line may be, in octets with its CRLF: above the limit of commands only for AUTH (dispatch.ts). */
export function longestLine(session: Asked & Pick<CommandSession, 'limits'>): number {
  const commands = session.limits['command-length'];
  return authOffer(session) === 'offered' ? Math.max(commands, LONGEST_AUTH_LINE) : commands;
}
