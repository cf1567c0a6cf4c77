import { z } from 'zod';
import type { OperationSpec } from '#shared/contract.ts';
import { Directive, DirectiveSubject } from '#shared/directive.ts';
import { CapturedMessage } from '#shared/files/captured-message.ts';
import { AuthenticationPage, AuthenticationRequest } from '#shared/mail/reports/authentication-totals.ts';
import { ReportPart } from '#shared/mail/reports/dmarc-report.ts';
import { TlsReportPart } from '#shared/mail/reports/tls-report.ts';
import { LostTls } from '#shared/mail/tls.ts';
import { LedgerPage, LedgerRequest } from '#shared/mail/tls-ledger.ts';
import { TlsName, TlsRecord } from '#shared/mail/tls-memory.ts';
import { DamagedMail, StoreDamage } from '#shared/store-damage.ts';
import { ProbedDomain } from '#shared/tls/probe.ts';
import { transcriptRead } from '#shared/transcript/operation.ts';
import { READ } from './common.ts';

/** What operators ask beside what is in the queue: what this router did, what it knows, and what it is to do with mail. */

type DirectiveWords = z.output<typeof DirectiveSubject>;

export const operatorOperations = {
  /** Mail that the route `capture` kept on this node, oldest first; `next` where there is more. */
  'captured-list': {
    request: z.object({ after: z.string().optional(), limit: z.number().int().positive().max(1000) }),
    reply: z.object({ messages: z.array(CapturedMessage), next: z.string().optional() }),
    errors: ['corrupt'],
  },
  /** A piece of a captured message, by its id or queue id; empty bytes after the end. */
  'captured-read': {
    request: z.object({ id: z.string(), offset: z.number().int().nonnegative() }),
    reply: z.object({ envelope: CapturedMessage, file: z.string() }),
    errors: ['not-found', 'corrupt'],
    bytes: 'reply',
    audited: ({ id, offset }: { id: string; offset: number }) => (offset === 0 ? id : undefined),
  },
  /**
   * DMARC reports that came to this node, those whose time ended after `since` (ms since 1970), about the domain and those
   * below it; a page of their parts at a time. `next` is the cursor of the page that follows.
   */
  'dmarc-report-list': {
    request: z.object({
      domain: z.string().optional(),
      since: z.number().optional(),
      after: z.string().max(100).optional(),
    }),
    reply: z.object({ parts: z.array(ReportPart), next: z.string().optional() }),
    errors: READ,
  },
  /** The same of TLS reports. */
  'tls-report-list': {
    request: z.object({
      domain: z.string().optional(),
      since: z.number().optional(),
      after: z.string().max(100).optional(),
    }),
    reply: z.object({ parts: z.array(TlsReportPart), next: z.string().optional() }),
    errors: READ,
  },
  /** The TLS ledger of this node (operators/ledger.ts), newest first. */
  'ledger-list': { request: LedgerRequest, reply: LedgerPage, errors: READ, timeout: 20_000 },
  /** What was found out about mail that came to this node (operators/authentication.ts), newest first. */
  'authentication-summarize': { request: AuthenticationRequest, reply: AuthenticationPage, errors: READ },
  /**
   * What this router remembers of the TLS of others, about a domain and what is below it or about all; a page at a time. For
   * operators, and for routers that have missed what was announced (gossip/gossip.ts).
   */
  'tls-memory-list': {
    request: z.object({ domain: TlsName.optional(), after: z.string().max(300).optional() }),
    reply: z.object({ records: z.array(TlsRecord), next: z.string().optional() }),
    errors: READ,
  },
  /** Forget what is remembered about a domain, and about a host of that name. Answers what it was. */
  'tls-memory-forget': {
    request: z.object({ name: TlsName }),
    reply: z.object({ records: z.array(TlsRecord) }),
    errors: READ,
    audited: ({ name }: { name: string }) => name,
  },
  /**
   * What operators have told the routers to do, those that have ended included until they are forgotten; a page at a time. For
   * operators, and for routers that have missed what was announced (gossip/gossip.ts).
   */
  'directive-list': {
    request: z.object({ after: z.string().max(1100).optional() }),
    reply: z.object({ directives: z.array(Directive), next: z.string().optional() }),
  },
  /** Suspend or redirect mail, at all routers, for a time in ms. Answered when it is on the disk of this one. */
  'directive-set': {
    request: Directive.pick({ kind: true, about: true, name: true, by: true, reason: true, via: true }).extend({
      forMs: z.number().int().positive(),
    }),
    reply: z.object({ directive: Directive }),
    errors: ['invalid-directive', 'too-many-directives', ...READ],
    audited: ({ kind, about, name }: DirectiveWords) => `${kind} ${about} ${name}`,
  },
  /** End that. Answers what it was. */
  'directive-end': {
    request: DirectiveSubject.extend({ by: z.string().max(255) }),
    reply: z.object({ directive: Directive }),
    errors: ['not-found', ...READ],
    audited: ({ kind, about, name }: DirectiveWords) => `${kind} ${about} ${name}`,
  },
  /**
   * What this node knows of a message that is not in its queue: `held`, the copy of it that is kept here for the node that
   * owns it; `corrupt`, it is damaged and was set aside here. `keep`: how long receipts are kept, in ms.
   */
  'message-place': {
    request: z.object({ queueId: z.string().max(100) }),
    reply: z.object({
      node: z.string(),
      keep: z.number(),
      corrupt: z.literal(true).optional(),
      held: z
        .object({
          owner: z.string(),
          complete: z.boolean(),
          /** The owner needs it no longer, or has given the pair up: it is not taken over. */
          void: z.boolean(),
          /** It is being taken over. */
          claimed: z.boolean(),
          /** ms since 1970: when it is taken over if the owner stays silent; absent while that cannot be told. */
          takeOver: z.number().optional(),
        })
        .optional(),
    }),
  },
  /** What TLS mail for a domain would get at each host, seen from this node: a session with each, without mail. */
  'tls-probe': {
    request: z.object({ domain: z.string().min(1).max(255) }),
    reply: ProbedDomain,
    timeout: 100_000,
  },
  /** What is said in sessions with a peer that mail goes to. */
  'transcript-read': transcriptRead,
  /** Counts for operators. */
  'status-show': {
    request: z.object({}),
    reply: z.object({
      node: z.string(),
      active: z.number().int(),
      deferred: z.number().int(),
      hold: z.number().int(),
      corrupt: z.number().int(),
      /** The queue is long and still being read since the start: the counts are of what was read; absent afterwards. */
      reading: z.literal(true).optional(),
      /** Whose mail the first of these are, as far as their records say; absent where there are none. */
      damaged: z.array(DamagedMail).optional(),
      /** Damage of the store that an operator has not dealt with yet; absent where there is none. */
      damage: z.array(StoreDamage).optional(),
      /** Messages sent without a signature in best-effort mode since start, and why. */
      unsigned: z.array(z.object({ domain: z.string(), reason: z.string(), count: z.number().int() })),
      lostTls: z.array(LostTls).optional(),
      /** What operators have suspended or redirected; absent where that is nothing. */
      directives: z.array(Directive).optional(),
      /** Why the queue accepts no mail right now; absent where it does. */
      refusing: z.string().optional(),
      /** The copies of this node's mail on others, and of others' mail on this one; absent where there is no bus. */
      copies: z
        .object({
          /** Name of the queue's store, and whether this node may deliver mail that has a copy elsewhere. */
          store: z.string(),
          lease: z.enum(['held', 'lost']),
          /** ms since 1970: when the lease was last renewed. */
          renewed: z.number().optional(),
          /** Messages of this node that have a copy elsewhere, and those that should and have none. */
          elsewhere: z.number().int(),
          missing: z.number().int(),
          /** Messages of others of which this node holds a copy. */
          held: z.number().int(),
          /** Void ones among them of mail of a node that is silent: it does not say whether it needs them. */
          void: z.array(z.object({ node: z.string(), copies: z.number().int() })).optional(),
          /** Since the start: messages taken over from others, and those that others took over from this node. */
          takenOver: z.number().int(),
          handedOver: z.number().int(),
          draining: z.boolean(),
          /** A drain is complete: nothing is left on this node. */
          drained: z.boolean(),
        })
        .optional(),
    }),
  },
} as const satisfies Record<string, OperationSpec>;
