import { isIntermediate, type Reply } from '#shared/mail/reply.ts';
import type { Timeouts } from '../connection.ts';
import type { PeerSession } from '../session.ts';
import { isAccepted, isWelcome, type Verdict } from './verdict.ts';

/** How a message is handed over (chunking.ts). */
export type Transfer = 'data' | 'one-byte' | 'chunk';

/** What was said in a transaction so far, and what follows from it for the session. */
export class Exchange {
  readonly session: PeerSession;
  readonly timeouts: Timeouts;
  /** RSET goes before MAIL. */
  readonly reset: boolean;
  readonly verdicts: Verdict[] = [];
  mail: Reply | undefined;
  /** The reply to DATA or BDAT. */
  data: Reply | undefined;
  /** The peer may have all of the message. */
  handedOver = false;
  /** The peer may still hold an envelope of ours: RSET must precede the next MAIL. */
  needsReset: boolean;
  /** How the message is handed over. */
  transfer: Transfer = 'data';
  /** What was found out about the CHUNKING of the peer. */
  chunking: 'works' | 'fails' | undefined;

  constructor(session: PeerSession, timeouts: Timeouts, reset: boolean) {
    this.session = session;
    this.timeouts = timeouts;
    this.reset = reset;
    // What an earlier transaction left is there until something is sent.
    this.needsReset = reset;
  }

  /** The reply to the line `index` of the envelope: RSET where it goes first, MAIL, every RCPT, DATA or BDAT. */
  heard(said: Reply, index: number): void {
    const at = this.reset ? index - 1 : index;
    if (at < 0) return;
    const verdict = this.verdicts[at - 1];
    if (at === 0) this.mail = said;
    else if (verdict !== undefined) verdict.rcpt = said;
    else this.data = said;
  }

  /** The recipients to whom the message goes. */
  get accepted(): Verdict[] {
    return isAccepted(this.mail) ? this.verdicts.filter(isWelcome) : [];
  }

  /** The peer has refused the sender, or every recipient: so it has no use for the message. */
  get refused(): boolean {
    if (this.mail !== undefined && !isAccepted(this.mail)) return true;
    return this.verdicts.every(({ rcpt }) => rcpt !== undefined && !isAccepted(rcpt));
  }

  /**
   * Throws `ConnectionEnded` where a reply has no meaning in its place: 3yz for MAIL or RCPT, or what `isOdd` says of that to
   * DATA or BDAT. How the peer would read our next bytes is unknown then.
   */
  checkOrder(isOdd: (said: Reply | undefined) => boolean): void {
    const envelope = [this.mail, ...this.verdicts.map(({ rcpt }) => rcpt)];
    const odd =
      envelope.find((said) => said !== undefined && isIntermediate(said)) ?? (isOdd(this.data) ? this.data : undefined);
    if (odd === undefined) return;
    const { connection } = this.session;
    throw connection.protocolError(`${connection.peer} answered out of place: "${odd.code} ${odd.text}"`);
  }
}
