import { z } from 'zod';
import { defineContract } from '#shared/contract.ts';
import { Reply } from '#shared/mail/reply.ts';
import { HttpChallenge } from '#shared/tls/http-challenge.ts';
import { transcriptRead } from '#shared/transcript/operation.ts';
import { sessionOperations } from './contract/sessions.ts';

export { LONGEST_HEADER, MOST_TEST_TEXT } from './contract/sessions.ts';

/**
 * An address, and an entry of a list of the relay rules that holds it. `named`: the entry is this address alone, and whoever
 * comes through it is trusted.
 */
const Covered = z.object({
  address: z.string(),
  /** Absent in answers of the version before: relay.allow.hosts. */
  list: z.string().optional(),
  entry: z.string(),
  named: z.boolean(),
});

/** An address that all clients come from: so many sessions, in which so many names were given in EHLO. */
const Front = z.object({
  address: z.string(),
  sessions: z.number().int(),
  names: z.number().int(),
  gateway: z.boolean(),
});
export type Front = z.infer<typeof Front>;

/** What a front is, as a clause. */
export function describeFront({ address, sessions, names, gateway }: Front): string {
  const what = gateway ? 'a gateway of its network' : `a private address that gave at least ${names} different names`;
  return `all clients, in ${sessions} sessions, came from ${address}, ${what}: something in front of the listeners hides who they are`;
}

/** A mail filter as this process reaches it. `error`: why it cannot be asked about messages. */
const CheckedFilter = z.object({
  name: z.string(),
  url: z.string(),
  onTrouble: z.enum(['defer', 'accept']),
  error: z.string().optional(),
});

/** A certificate that clients are shown. */
const PresentedCertificate = z.object({
  /** Names and `*.` patterns of names that clients ask for to get it (SNI); `*` for all others. */
  hosts: z.array(z.string()),
  /** Host names and `*.` patterns that it is for. */
  names: z.array(z.string()),
  /** SHA-256 of its public key (SubjectPublicKeyInfo) in hex. */
  key: z.string().regex(/^[0-9a-f]{64}$/),
  /** When it expires, ms since 1970. */
  until: z.number(),
});
export type PresentedCertificate = z.infer<typeof PresentedCertificate>;

/** The MTA-STS policy that this process serves. */
const ServedPolicy = z.object({
  id: z.string(),
  text: z.string(),
  domains: z.array(z.string()),
  port: z.number().int(),
});

/** A certificate of the cluster in this process: what it presents, and why not what the credential-store has. */
const ServedCertificate = z.object({
  name: z.string(),
  /** For clients that name no host, or one that no certificate is for. */
  standard: z.boolean(),
  /** SHA-256 of the certificate that new sessions get; absent where there is none. */
  fingerprint: z.string().optional(),
  problem: z.string().optional(),
});
export type ServedCertificate = z.infer<typeof ServedCertificate>;

/**
 * A refusal at the door of a listener: of a connection, a command or a message. Also a message that a mail filter threw
 * away, and one in the middle of which the client left.
 */
export const RefusedMail = z.object({
  /** ms since 1970: the last and the first time; `count`: how often it was refused alike. */
  at: z.number(),
  first: z.number(),
  count: z.number().int(),
  listener: z.string(),
  /** `helo`: the name that it gave; `name`: that of DNS. */
  client: z.object({ address: z.string(), name: z.string().optional(), helo: z.string().optional() }),
  /** It was logged in as this user; at the step AUTH: the user that it gave. */
  user: z.string().optional(),
  /** `connect`, a verb of SMTP, `command` for what is none, `message` after the final dot or in the middle of a message. */
  step: z.string(),
  from: z.string().optional(),
  /** The first recipients, as the client named them, and how many there are. */
  to: z.array(z.string()),
  recipients: z.number().int(),
  /** Absent where the client was told nothing: it had left, or TLS failed. */
  reply: Reply.optional(),
  /** The end of policy's reasoning. */
  why: z.array(z.string()).optional(),
  /** What went wrong on our side, or on the way. */
  error: z.string().optional(),
  /** What each mail filter said that was asked. */
  filters: z.record(z.string(), z.string()).optional(),
  /** A mail filter threw the message away; the client was told that it was accepted. */
  discarded: z.literal(true).optional(),
  /** Of the last one; `queueId` is the one that the message would have had. */
  session: z.string().optional(),
  trace: z.string().optional(),
  queueId: z.string().optional(),
  messageId: z.string().optional(),
});
export type RefusedMail = z.infer<typeof RefusedMail>;

/** Of which refusals; what is given must all be so. */
export const RefusalSearch = z.object({
  /** An address of a client. */
  client: z.string().max(100).optional(),
  /** An address or a domain, with everything below it, of a sender or recipient; a user. */
  party: z.string().max(1000).optional(),
  /** A queue id, Message-ID, trace or session. */
  id: z.string().max(1000).optional(),
  /** It was refused last at this time or later, and before that (ms since 1970). */
  after: z.number().optional(),
  before: z.number().optional(),
  /** Its sender, its user or a recipient is of one of these domains, without those below them. */
  domains: z.array(z.string().max(255)).min(1).max(100).optional(),
});
export type RefusalSearch = z.infer<typeof RefusalSearch>;

/** Clients in one announcement. */
export const MOST_CLIENTS = 500;

/** The listener owns the SMTP sessions. On disk it keeps only a copy of the wrapped certificates. */
export const listenerContract = defineContract('listener', 1, {
  operations: {
    /** What is said in sessions with a client. */
    'transcript-read': transcriptRead,
    /**
     * The last refusals (refusals/), newest first. `since`: from when on all of them are here, ms since 1970; it is not long
     * after a restart, or after a flood of them.
     */
    'refusal-find': {
      repeatable: true,
      request: RefusalSearch.extend({ limit: z.number().int().min(1).max(100).default(20) }),
      reply: z.object({ node: z.string(), refusals: z.array(RefusedMail), more: z.boolean(), since: z.number() }),
    },
    'status-show': {
      request: z.object({
        /** Ask each mail filter whether it is there, which may take two seconds. */
        checkFilters: z.boolean().optional(),
      }),
      reply: z.object({
        listeners: z.array(
          z.object({
            name: z.string(),
            kind: z.enum(['relay', 'submission']),
            address: z.string(),
            port: z.number().int(),
            tls: z.string(),
            sessions: z.number().int(),
          }),
        ),
        /** Gateways of the networks of its container that entries of the relay rules hold (gateways.ts). */
        gateways: z.array(Covered).optional(),
        /** What stands in front of the listeners and hides the clients, and the entries that hold it. */
        front: Front.extend({ entries: z.array(Covered) }).optional(),
        /** The option that makes this an open relay. */
        openRelay: z.string().optional(),
        /** The name in its greeting; absent in the version before, as the two that follow. */
        hostname: z.string().optional(),
        certificates: z.array(PresentedCertificate).optional(),
        mtaSts: ServedPolicy.optional(),
        /** Where it answers challenges of ACME; absent where it does not, and in the version before. */
        httpChallenge: z.object({ port: z.number().int() }).optional(),
        /** The certificates of the cluster (certificates/); absent where this process does not use them. */
        sharedCertificates: z.array(ServedCertificate).optional(),
        /** Why those may not be the newest; absent where they are. */
        sharedBehind: z.string().optional(),
        /** Fingerprints of the NEKs that this process has for them. */
        tlsNeks: z.array(z.string()).optional(),
        /** With `checkFilters`. */
        filters: z.array(CheckedFilter).optional(),
      }),
    },
    /**
     * Whether this listener would answer an authority that asks for a token (http-challenge/). Fails with `unavailable`
     * where no listener serves HTTP.
     */
    'challenge-check': {
      repeatable: true,
      request: HttpChallenge.pick({ token: true }),
      reply: z.object({
        node: z.string(),
        found: z.boolean(),
        /** Why it could not look for it. */
        problem: z.string().optional(),
      }),
    },
    ...sessionOperations,
  },
  events: {
    /**
     * Open connections to this process by client (session/announced-counts.ts), where that changed: announced soon after,
     * and each second even if nothing did. Only with `checks.connections-per-client`.
     */
    sessions: z.object({
      /** Tells this process from all others. */
      instance: z.string(),
      /** Nothing that it said before holds any more. */
      all: z.boolean(),
      /** It stops. */
      leaving: z.boolean(),
      clients: z
        .array(
          z.object({
            /** An IPv4 address, or a /64 of IPv6. */
            client: z.string().max(64),
            open: z.number().int().nonnegative(),
          }),
        )
        .max(MOST_CLIENTS),
    }),
  },
});
export type ListenerContract = typeof listenerContract;
