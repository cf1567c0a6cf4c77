import type { NatsConnection } from 'nats';

/** What a bus over NATS offers to users of JetStream: its current connection, changes of it, and inboxes. */
export type JetStreamAccess = {
  /** The connection, while it is up. */
  readonly current: NatsConnection | undefined;
  /** Called after every connection that came up or ended. Returns the way to stop. */
  onChange(listener: () => void): () => void;
  /** A new subject that this user of NATS may listen on. */
  inbox(): string;
};
