import type { NatsConnection } from 'nats';

/** What a bus over NATS offers to users of JetStream: its current connection, and changes of it. */
export type JetStreamAccess = {
  /** The connection, while it is up. */
  readonly current: NatsConnection | undefined;
  /** The user of NATS has permissions: then streams are made by `sealpost cluster streams` and not by services. */
  readonly restricted: boolean;
  /** Called after every connection that came up or ended. Returns the way to stop. */
  onChange(listener: () => void): () => void;
};
