import { formatReply } from '#shared/mail/reply.ts';
import { ConnectionEnded } from '../smtp/errors.ts';
import type { PeerReply } from '../smtp/reply-parser.ts';

/** Which ends of a connection are failures of TLS. */

/** What ends a connection in the handshake is a failure of TLS. */
export async function handshaken<T>(under: Promise<T>): Promise<T> {
  try {
    return await under;
  } catch (error) {
    if (isTlsFailure(error)) throw new TlsFailed(error.message, error.reason === 'timeout', { cause: error });
    throw error;
  }
}

export class TlsFailed extends Error {
  /** It may be otherwise soon: the peer was slow, or said so. */
  readonly passing: boolean;

  constructor(message: string, passing: boolean, options?: { cause: unknown }) {
    super(message, options);
    this.name = 'TlsFailed';
    this.passing = passing;
  }
}

/** The first reply in TLS, or what the peer says to the handshake in its place. */
export async function firstInTls(answer: Promise<PeerReply>): Promise<PeerReply> {
  try {
    const heard = await answer;
    // RFC 3207 §4: TLS not available.
    if (heard.reply.code === 454)
      throw new TlsFailed(`TLS was given up after the handshake: ${formatReply(heard.reply)}`, true);
    return heard;
  } catch (error) {
    if (isTlsFailure(error)) {
      const text = `TLS was given up after the handshake: ${error.message}`;
      throw new TlsFailed(text, error.reason === 'timeout', { cause: error });
    }
    throw error;
  }
}

/** 421 is the peer's word about the host, not about TLS. */
function isTlsFailure(error: unknown): error is ConnectionEnded {
  return error instanceof ConnectionEnded && error.reason !== 'local' && error.reason !== 'said';
}
