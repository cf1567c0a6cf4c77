import type { NatsConnection } from 'nats';

/** What a bus over NATS offers to those who use JetStream: its present connection, news of it, and inboxes. */
export type JetStreamAccess = {
  /** The connection, while it is up. */
  readonly current: NatsConnection | undefined;
  /** Hear of every connection that came up and of every one that ended. Returns the way to stop. */
  onChange(listener: () => void): () => void;
  /** A new subject that this user of NATS may listen on. */
  inbox(): string;
};
