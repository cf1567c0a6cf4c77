import { formatReply, type Reply } from '#shared/mail/reply.ts';

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

/** This host cannot be used for any message now; another one may. */
export class HostUnusable extends Error {
  readonly host: string;
  readonly reply: Reply;
  readonly local: boolean;

  constructor(host: string, kept: Reply, local: boolean) {
    super(`${host}: ${formatReply(kept)}`);
    this.name = 'HostUnusable';
    this.host = host;
    this.reply = kept;
    this.local = local;
  }
}
