import { z } from 'zod';
import { defineContract } from '#shared/contract.ts';
import { Authenticity, BodyHash, MOST_BODY_HASHES } from '#shared/mail/authenticity.ts';
import { EnvelopeRecipient, Origin } from '#shared/mail/envelope.ts';
import { MessageTls } from '#shared/mail/message-tls.ts';
import { Reply, reply } from '#shared/mail/reply.ts';

/**
 * The policy service decides what may pass. Every question is answered with a verdict; the caller puts its reply on
 * the wire unchanged. `why` explains the verdict step by step, in the order in which the rules were asked.
 *
 * It is long because it is all that policy can be asked, in one place.
 */

/** Counts in one announcement. */
export const MOST_COUNTS = 500;

/** Networks in one announcement of the greylist, and first attempts of each. */
export const MOST_GREYLISTED = 200;
export const MOST_TRIPLES = 20;

/** What is known of a network that clients come from (greylist/greylist.ts). Times in ms since 1970. */
export const GreylistRecord = z.object({
  network: z.string().max(64),
  /** Mail from it was accepted then. */
  passed: z.number().int().optional(),
  /** It waits as a whole since then. */
  full: z.number().int().optional(),
  /** First attempts, each by the hash of its sender and recipient. */
  triples: z.array(z.object({ triple: z.string().max(32), since: z.number().int() })).max(MOST_TRIPLES),
});
export type GreylistRecord = z.infer<typeof GreylistRecord>;

const Why = z.array(z.string());

/** Permanent: the reply is 5xx (or 421 at connect). */
const Reject = z.object({ action: z.literal('reject'), reply: Reply, why: Why });
/** Temporary: the reply is 4xx. */
const Defer = z.object({ action: z.literal('defer'), reply: Reply, why: Why });
export const Refusal = z.discriminatedUnion('action', [Reject, Defer]);
export type Refusal = z.infer<typeof Refusal>;

/**
 * The reply to a message larger than `limits.message-size` (`limit`, bytes; RFC 1870 §6): policy's at MAIL and at the end
 * of the message, the listener's while the bytes come.
 */
export function messageTooLarge(limit: number): Reply {
  return reply(552, '5.3.4', `Message is larger than this server takes (${limit} bytes)`);
}

/** The session as policy sees it. `client` is filled by `connect`, `user` by `authenticate`. */
export const SessionFacts = Origin.extend({
  /** Internal hosts may be trusted to relay; all others are external (DOMINO R4). */
  scope: z.enum(['internal', 'external']),
  /** DNS did not answer whether the client has a name: a refusal for want of one is temporary. */
  nameFailed: z.boolean().optional(),
  /** Anybody may come in through the client's address: a gateway (services/listener/gateways.ts), a proxy. */
  gateway: z.boolean().optional(),
  /** What the client began with. HELO: it speaks SMTP without extensions. */
  greeting: z.enum(['EHLO', 'HELO']).optional(),
});
export type SessionFacts = z.infer<typeof SessionFacts>;

/** Mail that may be of anybody, so that its genuineness is checked: no user and no internal host hands it in. */
export function comesFromOutside({ user, scope }: Pick<SessionFacts, 'user' | 'scope'>): boolean {
  return user === undefined && scope === 'external';
}

export const ConnectVerdict = z.union([
  z.object({
    action: z.literal('accept'),
    name: z.string().nullable(),
    nameFailed: z.boolean().optional(),
    scope: z.enum(['internal', 'external']),
    why: Why,
  }),
  Refusal,
]);

/**
 * `delayMs`: it is the client's fault that it failed, so the reply is held back for so long, and the session counts it.
 * Absent where the cause is this server's, and in answers of the version before.
 */
const atFault = { delayMs: z.number().int().min(0).max(60_000).optional() };
export const AuthenticateVerdict = z.union([
  /** `appPassword`: the name of the one that it was, which is for mail alone. */
  z.object({ action: z.literal('accept'), user: z.string(), appPassword: z.string().optional(), why: Why }),
  z.discriminatedUnion('action', [Reject.extend(atFault), Defer.extend(atFault)]),
]);
export type AuthenticateVerdict = z.infer<typeof AuthenticateVerdict>;

export const SenderVerdict = z.union([
  z.object({
    action: z.literal('accept'),
    /** The reverse-path that takes the place of the one named. */
    reversePath: z.string().optional(),
    /** Its certificate makes the client one of ours, from now on. */
    scope: z.literal('internal').optional(),
    why: Why,
  }),
  Refusal,
]);

export const RecipientVerdict = z.union([
  z.object({
    action: z.literal('accept'),
    /** Where the mail goes after aliases and groups: one or more. */
    recipients: z.array(EnvelopeRecipient).min(1),
    why: Why,
  }),
  Refusal,
]);

export const MessageVerdict = z.union([
  z.object({
    action: z.literal('accept'),
    /** Header fields to put in front, in order, each complete with its CRLF: Received, Authentication-Results … */
    prepend: z.array(z.string()),
    /** The mail enters the mail system at this server (a user or an internal host sent it): only such mail is signed. */
    originating: z.boolean(),
    /** Deliver to the junk folder. */
    junk: z.boolean(),
    /** The header block that takes the place of the one received, with its empty line; latin1: a character is a byte. */
    header: z.string().optional(),
    /** The reverse-path that takes the place of that of MAIL. */
    reversePath: z.string().optional(),
    /** Absent for mail that is not checked: from inside, and of users. */
    authenticity: Authenticity.optional(),
    /** What it asks of TLS on its way. */
    tls: MessageTls.optional(),
    why: Why,
  }),
  z.discriminatedUnion('action', [
    /** What was found out about a message that is refused for it: reports count it. */
    Reject.extend({ authenticity: Authenticity.optional() }),
    Defer,
  ]),
]);

/** The verdict, and what it rests on also where it is a refusal. */
export const ExplainedMessage = z.object({ verdict: MessageVerdict, authenticity: Authenticity.optional() });
export type ExplainedMessage = z.infer<typeof ExplainedMessage>;

/** What no password is looked at for: of a user, from a network, or of a user from a network. */
export const Lock = z.object({
  user: z.string().optional(),
  network: z.string().optional(),
  /** Failures that count, at all nodes that this instance hears. */
  failures: z.number(),
  /** So many in so many ms. */
  limit: z.object({ count: z.number().int(), per: z.number().int() }),
  /** ms until it opens by itself. */
  opensMs: z.number(),
});
export type Lock = z.infer<typeof Lock>;

/** Which locks: of this user, of this network or address and what is part of it; all where both are absent. */
export const LockSelection = z.object({
  user: z.string().max(1000).optional(),
  network: z.string().max(100).optional(),
});
export type LockSelection = z.infer<typeof LockSelection>;

const ClientQuestion = z.object({
  session: z.string(),
  listener: z.string(),
  kind: z.enum(['relay', 'submission']),
  address: z.string(),
  /** As in `SessionFacts`. */
  gateway: z.boolean().optional(),
  /** The listener's process, and connections of the client to it that were open when this one came. */
  counted: z.object({ instance: z.string(), others: z.number().int().nonnegative() }).optional(),
});
export type ClientQuestion = z.infer<typeof ClientQuestion>;

const SenderQuestion = z.object({ facts: SessionFacts, reversePath: z.string(), size: z.number().int().optional() });
export type SenderQuestion = z.infer<typeof SenderQuestion>;

const RecipientQuestion = z.object({ facts: SessionFacts, reversePath: z.string(), recipient: EnvelopeRecipient });
export type RecipientQuestion = z.infer<typeof RecipientQuestion>;

const MessageQuestion = z.object({
  facts: SessionFacts,
  /** The queue id that the message will have, for the trace header. */
  queueId: z.string(),
  reversePath: z.string(),
  /** Addresses as RCPT named them, not what aliases made of them. */
  recipients: z.array(z.string()),
  smtpUtf8: z.boolean(),
  size: z.number().int(),
  /** Those that the message's signatures ask for; absent from a listener that computes none. */
  bodyHashes: z.array(BodyHash).max(MOST_BODY_HASHES).optional(),
});
export type MessageQuestion = z.infer<typeof MessageQuestion>;

/** What an instance has counted for a key (rates/shared-counts.ts). */
export const SharedCount = z.object({
  /** What is counted, and for which sender. */
  key: z.string().max(1000),
  /** Length of the window in ms, its number since 1970, and what was counted in it and in the one before. */
  per: z.number().int().positive(),
  window: z.number().int(),
  now: z.number().int().nonnegative(),
  before: z.number().int().nonnegative(),
  /** ms since 1970 when the key was last reset (rates/shared-counts.ts); 0: never. */
  reset: z.number().int().nonnegative().default(0),
});
export type SharedCount = z.infer<typeof SharedCount>;

export const policyContract = defineContract('policy', 1, {
  operations: {
    'client-check': { repeatable: true, request: ClientQuestion, reply: ConnectVerdict },
    /** The password travels as the request's bytes (UTF-8). A wrong password is a `reject` with 535 5.7.8. */
    'user-authenticate': {
      repeatable: 'when-silent',
      request: z.object({
        facts: SessionFacts,
        mechanism: z.enum(['PLAIN', 'LOGIN']),
        user: z.string(),
        /** The authorization identity of RFC 4616, where it differs from `user`. */
        actAs: z.string().optional(),
      }),
      reply: AuthenticateVerdict,
      bytes: 'request',
    },
    /** The same with an access token in place of the password: it names the user. */
    'token-authenticate': {
      repeatable: 'when-silent',
      request: z.object({
        facts: SessionFacts,
        mechanism: z.enum(['OAUTHBEARER', 'XOAUTH2']),
        /** What the client calls itself, which must be the same user; '' where it does not say. */
        user: z.string(),
      }),
      reply: AuthenticateVerdict,
      bytes: 'request',
    },
    'sender-check': { repeatable: 'when-silent', request: SenderQuestion, reply: SenderVerdict },
    'recipient-check': { repeatable: 'when-silent', request: RecipientQuestion, reply: RecipientVerdict },
    /**
     * The verdicts that these questions would get. Nothing is counted and nothing is remembered, and no password is asked
     * for: the user is taken to give the right one. It authenticates nobody.
     */
    'verdict-explain': {
      repeatable: true,
      request: z.object({
        connect: ClientQuestion.optional(),
        authenticate: z.object({ facts: SessionFacts, user: z.string() }).optional(),
        sender: SenderQuestion.optional(),
        recipient: RecipientQuestion.optional(),
        /** `header`: the header block as received; latin1. */
        message: MessageQuestion.extend({ header: z.string() }).optional(),
      }),
      reply: z.object({
        connect: ConnectVerdict.optional(),
        authenticate: AuthenticateVerdict.optional(),
        sender: SenderVerdict.optional(),
        recipient: RecipientVerdict.optional(),
        message: ExplainedMessage.optional(),
      }),
    },
    /** Asked when the whole message is in. The request's bytes are its header block as received. */
    'message-check': {
      repeatable: true,
      request: MessageQuestion,
      reply: MessageVerdict,
      bytes: 'request',
    },
    'status-show': {
      repeatable: true,
      request: z.object({}),
      /** `ldap`: the servers of `directory.ldap`, asked just now; `error`: why one of them cannot be asked. */
      reply: z.object({ ldap: z.array(z.object({ url: z.string(), error: z.string().optional() })) }),
    },
    /** The locks that this instance knows, those that open last first; `more`: how many are left out. */
    'lock-list': {
      repeatable: true,
      request: LockSelection,
      reply: z.object({ locks: z.array(Lock), more: z.number().int() }),
    },
    /** Lift them (authentication/locks.ts). Every instance is to be told; answers what was locked at this one. */
    'lock-lift': {
      request: LockSelection,
      reply: z.object({ locks: z.array(Lock), more: z.number().int() }),
      audited: ({ user, network }: LockSelection) =>
        [user, network].filter((part) => part !== undefined).join(' from ') || 'all',
    },
  },
  events: {
    /** That it is there, every second: a NEK is replaced only when every live policy that opens password hashes has it. */
    present: z.object({
      node: z.string(),
      instance: z.string(),
      /** Of the directory that it holds. */
      revision: z.number().int(),
      /** Why that may not be the newest; absent when it is. */
      behind: z.string().optional(),
      /** Fingerprints of the NEKs in its configuration. */
      neks: z.array(z.string()),
      /** It knows of blocked users; absent in the version before. */
      blocks: z.boolean().optional(),
    }),
    /**
     * What this instance has counted (rates/shared-counts.ts), where that changed: announced soon after,
     * and every second even if nothing did. A count is that of its whole window, so that a lost one is made good.
     */
    counts: z.object({
      node: z.string(),
      /** Tells this process from those before and after it on the same node. */
      instance: z.string(),
      /** It stops. */
      leaving: z.boolean(),
      counts: z.array(SharedCount).max(MOST_COUNTS),
    }),
    /** What this instance has learned of networks (greylist/shared-greylist.ts): announced soon after, and on request. */
    greylist: z.object({
      instance: z.string(),
      /** It wants to be told everything. */
      asking: z.boolean(),
      records: z.array(GreylistRecord).max(MOST_GREYLISTED),
    }),
  },
});
export type PolicyContract = typeof policyContract;
