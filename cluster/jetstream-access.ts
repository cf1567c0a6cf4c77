import type { NatsConnection } from 'nats';

/** What a bus over NATS offers to those who use JetStream: its present connection, and news of it. */
export type JetStreamAccess = {
  /** The connection, while it is up. */
  readonly current: NatsConnection | undefined;
  /** Hear of every connection that came up and of every one that ended. Returns the way to stop. */
  onChange(listener: () => void): () => void;
};
