import { formatReply, type Reply } from '#shared/mail/reply.ts';
import type { CertificateVerdict } from '#shared/mail/tls.ts';
import type { TlsFailure } from '../tls-policy/result.ts';

/** Why a connection ended, with the reply for recipients whose fate it leaves open. */
export class ConnectionEnded extends Error {
  readonly reply: Reply;
  /** `said`: the peer announced it with 421. `local`: the cause lies on this machine. */
  readonly reason: 'closed' | 'timeout' | 'protocol' | 'said' | 'local';

  constructor(reason: ConnectionEnded['reason'], kept: Reply, options?: { cause?: unknown }) {
    super(kept.text, options);
    this.name = 'ConnectionEnded';
    this.reason = reason;
    this.reply = kept;
  }
}

/** What TLS has to do with it. `handshake`: the handshake itself failed, so that another ClientHello may do better. */
export type TlsTrouble = { type: TlsFailure; reason: string; handshake: boolean; certificate?: CertificateVerdict };

/** This host cannot be used for any message now; another one may. */
export class HostUnusable extends Error {
  readonly host: string;
  readonly reply: Reply;
  readonly local: boolean;
  readonly tls: TlsTrouble | undefined;
  /**
   * It is not protected as is wanted of it, and waiting does not change that: the code for mail that may not go without
   * (RFC 8689 §4.2.1).
   */
  readonly insecure: '5.7.10' | '5.7.30' | undefined;

  constructor(host: string, kept: Reply, local: boolean, tls?: TlsTrouble, insecure?: HostUnusable['insecure']) {
    super(`${host}: ${formatReply(kept)}`);
    this.name = 'HostUnusable';
    this.host = host;
    this.reply = kept;
    this.local = local;
    this.tls = tls;
    this.insecure = insecure;
  }
}
