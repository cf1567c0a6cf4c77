import type { RouteOauth } from '#cluster/config/schema/oauth.ts';
import type { Directive } from '#shared/directive.ts';
import type { TriedHost } from '#shared/mail/attempt.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { EnvelopeRecipient, Outcome } from '#shared/mail/envelope.ts';
import type { Reply } from '#shared/mail/reply.ts';
import type { TlsDemand } from '#shared/mail/tls.ts';
import type { Secret } from '#shared/secret.ts';

/**
 * What passes between the queue and delivery: one attempt at one message for recipients that share a next hop.
 *
 * The queue makes a job and hands it to delivery with `submit`. Delivery keeps it until the next hop has a free
 * connection, then calls `open` (which signs, so that waiting mail never carries a retired key), sends, and calls
 * `finish` with one result for each recipient, exactly once, whatever happens. It waits for `finish` (the results are
 * on disk then) before it uses the connection for the next job: so at most one message for each connection is
 * delivered but not yet recorded.
 */
export type Job = {
  queueId: string;
  trace: string;
  /** '' is the null reverse-path. */
  reversePath: string;
  recipients: JobRecipient[];
  /** Bytes of the message without signatures. */
  size: number;
  /** The body has octets above 127: the peer must offer 8BITMIME (RFC 6152 §3), or the message is converted. */
  eightBitBody: boolean;
  /** The header or an address is not ASCII: the peer must offer SMTPUTF8 (RFC 6531 §3.5). */
  smtpUtf8: boolean;
  ret: 'FULL' | 'HDRS' | undefined;
  envid: string | undefined;
  junk: boolean;
  /** What was found out about it, where it is from outside. */
  authenticity?: Authenticity | undefined;
  /** An operator asked for it: try it although the next hop was unreachable a moment ago. */
  urgent?: boolean;
  /** Whose mail it is, where mail waits for a connection (fair-queue.ts). */
  sender?: number;
  /** Sign and open the message for sending. */
  open(): Promise<Opened>;
  /** Record how the attempt ended; resolves when that is on disk. */
  finish(results: RecipientResult[]): Promise<void>;
};

export type JobRecipient = { index: number; recipient: EnvelopeRecipient };

/** The message as it goes over the wire, before dot-stuffing. `size` in bytes. */
export type OpenedMessage = {
  ok: true;
  size: number;
  read: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  /**
   * The same message in 7 bit, for a peer without 8BITMIME; or, as a text, why it is not converted. Without it, no
   * message is.
   */
  sevenBit?: () => Promise<Opened | string>;
  /** It was converted. */
  converted?: true;
};

/** The message, or why it cannot be sent now. */
export type Opened = OpenedMessage | { ok: false; state: 'deferred' | 'failed'; reply: Reply; local: boolean };

export type RecipientResult = {
  index: number;
  state: 'delivered' | 'deferred' | 'failed';
  outcome: Outcome;
  /** The other hosts that were tried for this recipient, in that order; absent where there was none. */
  others?: readonly TriedHost[];
  /**
   * The cause lies on this node (signer away, DNS silent, disk full), not with the peer: tried again soon, no attempt
   * is counted.
   */
  local?: boolean;
  /**
   * `deferred` only: the peer takes few recipients at a time, and took others of this message in the same attempt. The
   * next attempt follows as after the first one.
   */
  progress?: boolean;
  /** `failed` only: no host can do what the message asks of TLS. */
  insecure?: boolean;
  /**
   * `delivered` only. `passed`: the peer took over the duty to notify (it offers DSN, RFC 3461 §5.2.1); `relayed`: it
   * does not offer DSN (§5.2.2); `final`: delivered into a mailbox. Success notices depend on it.
   */
  notice?: 'passed' | 'relayed' | 'final';
};

/**
 * Where mail goes next, made from a route (`NextHopSpec`, cluster/config/schema/route.ts) by queue/routing.ts; delivery.ts
 * has a transport for each kind. `key` names the destination: jobs with the same key share connections and limits.
 */
export type NextHop = {
  key: string;
  spec:
    | { kind: 'mx'; domain: string }
    | ({ kind: 'smtp' } & RouteHosts<SmtpHost>)
    | ({ kind: 'lmtp' } & RouteHosts<{ host: string; port: number }>)
    | { kind: 'maildir'; folder: string }
    | { kind: 'capture'; folder: string }
    | { kind: 'discard' };
  /**
   * TLS at the next hop. `opportunistic`: if offered, else clear text; `required`: TLS or nothing. Neither looks at the
   * certificate, which keeps out an attacker who only listens, not one who answers in the peer's place. `verified`: TLS with
   * a certificate of a trusted authority for the name of the host.
   */
  tls: TlsDemand;
  /**
   * The message asks for something itself (queue/message-hop.ts). `raises`: `tls` is more than its route asks for. `strict`:
   * it fails at once where no host can do what `tls` and `requireTls` say. `requireTls`: as REQUIRETLS asks (RFC 8689
   * §4.2.1), or where a host can. `ignorePolicies`: what the recipient's domain asks for (DANE, MTA-STS) does not count (§3;
   * RFC 8460 §3), and what becomes of TLS is in no report.
   */
  demand?: MessageDemand;
  /** Where its connections come from, if not from what the system chooses. */
  source?: HopSource;
  /** PEM file of the authorities for certificates that are verified; undefined: the public ones. */
  ca?: string | undefined;
  /**
   * 8-bit mail is converted to 7 bit where the peer does not offer 8BITMIME: always, or unless a signature of others would
   * break. Without it, never.
   */
  conversion?: 'always' | 'unsigned';
  /** Key of the limit in `rates.destinations` that mail for this recipient domain keeps to (pacing/pacer.ts). */
  limit?: string | undefined;
  /** Why it is not what the route of the recipient domain says. */
  redirected?: Directive;
  /**
   * Mail for an address that reports are sent to is read first (received-reports/report-reader.ts): where it goes that
   * is no report.
   */
  reports?: NextHop;
};

/** The hosts of a route: the best one, and those that follow where it cannot be used, in their order. */
type RouteHosts<Host> = Host & { others?: readonly Host[] };

/** `host` is a name or an address. What it is told to log in with goes to no other one. */
export type SmtpHost = {
  host: string;
  port: number;
  /** TLS from the first byte (RFC 8314). */
  implicitTls?: true;
  user?: string | undefined;
  password?: Secret | undefined;
  /** In place of the password. */
  oauth?: RouteOauth | undefined;
};

/** Our addresses, by family; which family is used, if not both; and our name in EHLO. */
export type HopSource = {
  ipv4?: string | undefined;
  ipv6?: string | undefined;
  family?: 'ipv4' | 'ipv6' | undefined;
  ehlo?: string | undefined;
};

export function hostsOf<Host>({ others = [], ...first }: RouteHosts<Host> & { kind: string }): Host[] {
  return [first as Host, ...others];
}

export type MessageDemand = {
  raises: boolean;
  strict: boolean;
  requireTls: 'always' | 'if-offered' | 'never';
  ignorePolicies: boolean;
};

/**
 * A next hop is left alone for a while, because its last attempt failed. `until`: of the monotonic clock; `at`: when it was
 * tried last, ms since 1970.
 */
export type Pause = { until: number; at: number; reply: Reply; host: string | undefined };

export type Delivery = {
  /** Take a job. Never throws; every outcome reaches `job.finish`. */
  submit(nextHop: NextHop, job: Job): void;
  /** Undefined where a job for a next hop would be tried. By its key alone: as it was when it was tried last. */
  pauseOf(hop: NextHop | string): Pause | undefined;
  /** Take no further job; those that have not begun are finished as deferred, those under way end soon. */
  stop(): Promise<void>;
};
