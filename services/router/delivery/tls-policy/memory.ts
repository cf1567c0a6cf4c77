import type { TlsLevel } from '#shared/mail/tls.ts';

/** What delivery asks of the memory that the routers of a cluster share about the TLS of others. */

/** About a recipient domain: what was reached at its mail exchangers last, and when (ms since 1970). */
export type RememberedDomain = { reached: Exclude<TlsLevel, 'clear'>; at: number };
/** About a mail exchanger: when it last took a reduced ClientHello after it had refused the usual one (ms since 1970). */
export type RememberedHost = { reducedHello: number };

export type TlsMemory = {
  domain(name: string): RememberedDomain | undefined;
  host(name: string): RememberedHost | undefined;
  /** Keep it, and tell the other routers. Never throws and does not wait. */
  noteDomain(name: string, fact: RememberedDomain): void;
  noteHost(name: string, fact: RememberedHost): void;
};
