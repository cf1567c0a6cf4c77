import { z } from 'zod';

/**
 * What a webhook is told, as JSON: `{ type, timestamp, data }`, the form of Standard Webhooks. docs/operate/webhooks.md has an example
 * of each, which a test holds against these schemas. Times are ISO 8601 in UTC. Fields may be added; receivers ignore those
 * that they do not know.
 */

const time = z.iso.datetime();

/** Of every message that is settled; a type of event for each state that a recipient gets. */
const MessageData = z.strictObject({
  /** The node that has settled it. */
  node: z.string(),
  queueId: z.string(),
  /** As the header has it, with angle brackets; absent where it has none. */
  messageId: z.string().optional(),
  /** `relay`, `submission`, or `internal` for what Sealpost wrote itself (DSNs, reports). */
  kind: z.enum(['relay', 'submission', 'internal']),
  /** The user who logged in. */
  user: z.string().optional(),
  /** Reverse-path; '' is the null reverse-path. */
  from: z.string(),
  to: z.string(),
  /** The recipient that the client named, where an alias or a rule changed it. */
  originalTo: z.string().optional(),
  /** It is the copy for an archive, made by the journal rule of this name. */
  journal: z.string().optional(),
  arrived: time,
  /** Bytes as received. */
  size: z.number().int(),
  nextHop: z.string().optional(),
  /** The host that decided, with its address, or the transport; absent where none was reached. */
  host: z.string().optional(),
  /** The reply of the host, or ours where none decided. */
  reply: z.strictObject({ code: z.number().int(), enhanced: z.string().optional(), text: z.string() }),
  /** Of the connection that carried it. */
  tls: z.strictObject({ protocol: z.string(), cipher: z.string() }).optional(),
  /** The DKIM keys that signed it. */
  signatures: z.array(z.strictObject({ domain: z.string(), selector: z.string() })),
});

const KeyData = z.strictObject({
  domain: z.string(),
  selector: z.string(),
  /** `rsa-2048`, `ed25519` and so on; the state is one of shared/keys/key.ts. */
  algorithm: z.string(),
  state: z.string(),
  fingerprint: z.string(),
  /** An administrator revoked it: somebody else may have it. */
  compromised: z.boolean(),
});

const RotationData = z.strictObject({
  domain: z.string(),
  rotation: z.string(),
  /** The node that got the order, or `schedule`. */
  by: z.string(),
  /** Selectors: each of `from` is replaced by that of `to` at the same index. */
  from: z.array(z.string()),
  to: z.array(z.string()),
  /** Why it was frozen. */
  reason: z.string().optional(),
});

const CertificateData = z.strictObject({
  name: z.string(),
  /** Host names. */
  names: z.array(z.string()),
  /** SHA-256 of the one in use; absent while there is none. */
  fingerprint: z.string().optional(),
  expires: time.optional(),
  /** Why the last order failed, and how often in a row. */
  problem: z.string().optional(),
  tries: z.number().int().optional(),
});

/** What `alarm` events are about; docs/operate/webhooks.md says when each is raised. */
export const Alarm = z.enum([
  'node-silent',
  'bus-away',
  'config-refused',
  'queue-refusing',
  'queue-long',
  'mail-held',
  'mail-damaged',
  'copies-missing',
  'key-stuck',
  'key-exposed',
  'webhook-failing',
]);
export type Alarm = z.infer<typeof Alarm>;

const AlarmData = z.strictObject({
  alarm: Alarm,
  /** The node, key or webhook that it is about: an alarm is the same one while `alarm` and `about` are. */
  about: z.string(),
  /** The node that watches. */
  node: z.string(),
  /** What is wrong, and what to do. */
  text: z.string(),
  help: z.string(),
  since: time,
});

const message = MessageData;

/** The data of every type of event. */
export const EVENT_DATA = {
  'message.delivered': message,
  /** Refused for good, or taken out of the queue by an operator: what is commonly called a bounce. */
  'message.failed': message,
  'message.expired': message,
  /** An attempt that did not end it. */
  'message.deferred': message.extend({ attempts: z.number().int(), nextAttempt: time }),
  'key.created': KeyData,
  'key.replicated': KeyData,
  'key.published': KeyData,
  'key.proven': KeyData,
  'key.activated': KeyData,
  'key.retiring': KeyData,
  'key.retired': KeyData,
  'key.revoked': KeyData,
  'key.deleted': KeyData,
  'rotation.started': RotationData,
  'rotation.frozen': RotationData,
  'rotation.resumed': RotationData,
  /** Every node signs with the new keys. */
  'rotation.switched': RotationData,
  'rotation.completed': RotationData,
  'rotation.rolled_back': RotationData,
  'certificate.ordered': CertificateData,
  'certificate.renewed': CertificateData,
  'certificate.imported': CertificateData,
  'certificate.failing': CertificateData,
  /** Seven days before its end. */
  'certificate.expiring': CertificateData,
  'alarm.raised': AlarmData,
  'alarm.cleared': AlarmData,
  /** `sealpost webhooks test`; it comes to every webhook. */
  'webhook.test': z.strictObject({ node: z.string(), webhook: z.string() }),
} as const satisfies Record<string, z.ZodType>;

export type EventType = keyof typeof EVENT_DATA;
export type EventData<T extends EventType = EventType> = z.infer<(typeof EVENT_DATA)[T]>;

/** The types that a webhook can ask for. */
export const EVENT_TYPES = (Object.keys(EVENT_DATA) as EventType[]).filter((type) => type !== 'webhook.test');

/** `message.*`: all of a family. */
export const EVENT_FAMILIES = [...new Set(EVENT_TYPES.map((type) => `${type.split('.', 1)[0]}.*`))];

export type WebhookEvent<T extends EventType = EventType> = {
  /** The same for each webhook and attempt, so that a receiver tells what it has had before. */
  id: string;
  type: T;
  /** ms since 1970 */
  at: number;
  data: EventData<T>;
  /** The domains that it is about, in lower-case A-labels; undefined: it is of interest whatever the domain. */
  domains?: readonly string[] | undefined;
};

/** The body of the request. */
export function bodyOf({ type, at, data }: WebhookEvent): string {
  return JSON.stringify({ type, timestamp: new Date(at).toISOString(), data });
}

/** The types that the words of a configuration stand for: `message.delivered`, `key.*`. */
export function typesOf(words: readonly string[]): Set<EventType> {
  return new Set(
    words.flatMap((word) =>
      word.endsWith('.*') ? EVENT_TYPES.filter((type) => type.startsWith(word.slice(0, -1))) : [word as EventType],
    ),
  );
}
