import type { OperationSpec } from '#shared/contract.ts';
import type { JetStreamAccess } from './jetstream-access.ts';

/**
 * What carries messages between services. Two implementations pass one behaviour suite (`test/suites/bus.ts`):
 * `LocalBus` (one process, no serialisation) and `NatsBus` (separate processes).
 *
 * A bus knows addresses and messages; it does not know schemas. Parsing, deadlines, error mapping and mailboxes are
 * the actor's (`actor.ts`), so that both buses behave alike.
 *
 * Rules that both keep:
 * - a call prefers an instance in its own process, then one on its own node, then any other;
 * - a call that an instance answers with `elsewhere` goes on to another one; where there is none, that is the answer;
 * - a call with `node` set goes to that node's instance only, or to the process that has this id;
 * - a call that is `repeatable` may ask a second instance when the first is long in answering;
 * - a call to an instance that is not heard any more (`heard`), or lost its connection, fails with `timeout` at that, or
 *   goes on to another one where the operation may be repeated;
 * - a call that no instance serves fails immediately with `unavailable`, one without an answer in time with `timeout`;
 * - a message above the bus's limit fails with `too-large` before it is sent;
 * - events reach every subscriber, in the order in which one publisher sent them, and may get lost;
 * - `drain` stops taking calls, lets those under way finish, then the bus closes.
 */
export type Address = { service: string; version: number; operation: string };

/**
 * A request as it travels. `fields` is plain JSON data; `bytes` travels beside it untouched: from the call on they
 * belong to the receiver, and the sender must not write into them any more.
 */
export type BusRequest = {
  fields: unknown;
  bytes?: Uint8Array | undefined;
  trace?: string | undefined;
  /** The person for whom it is asked, as the caller says. */
  by?: string | undefined;
  timeout: number;
  /** Whose request it is: not what it says of itself, but where its reply goes. Undefined: of this process. */
  caller?: string | undefined;
  /** Whether another instance may be asked too; see `OperationSpec`. */
  repeatable?: OperationSpec['repeatable'];
};

/**
 * An answer as it travels: fields (and bytes), or a code and a text. `elsewhere`: nothing was done, and the reason lies
 * with this instance alone (it is full, or stops).
 */
export type BusReply =
  | { ok: true; fields: unknown; bytes?: Uint8Array | undefined }
  | { ok: false; code: string; message: string; elsewhere?: boolean | undefined };

export type BusHandler = (request: BusRequest) => Promise<BusReply>;

/** What a process says of itself. `connection`: the number of its connection to NATS; `serving`: it takes work. */
export type Announced = {
  node: string;
  process: string;
  services: readonly string[];
  connection: number | undefined;
  serving: boolean;
};

/** Something that NATS does not permit this process (`denials.ts`). */
export type Denial = {
  operation: 'publish' | 'subscription';
  /** As permissions name it, without the names of instances and calls. */
  subject: string;
  /** ms since it was last refused. */
  ago: number;
};

export type Bus = {
  /** Longest message in bytes; Infinity where there is none. */
  readonly maxPayload: number;
  /** Identifies this process among all on the bus, also those of the same node; new at each start. */
  readonly process: string;
  /** Which of its connections this is, from 1: what was sent to this process over an earlier one is lost. */
  readonly connection: number;
  /** Serve an operation as an instance of its service on this node. Returns the way to stop. */
  serve(address: Address, handler: BusHandler): () => void;
  /**
   * Send a request; `node` is a node's name or a process's id. Rejects with a `SealpostError` of `CALL_ERRORS` when no
   * answer came; never for an answer `ok: false`.
   */
  call(address: Address, request: BusRequest, node?: string): Promise<BusReply>;
  publish(service: string, version: number, event: string, payload: unknown): void;
  subscribe(service: string, version: number, event: string, listener: (payload: unknown) => void): () => void;
  /** Whether calls can leave this process right now. */
  readonly connected: boolean;
  /** What NATS does not permit this process. */
  readonly denials: readonly Denial[];
  /**
   * Another process announced itself: calls go to processes that do, and wait for no others. `silence`: how many ms ago,
   * where that is known from somebody else.
   */
  heard(announced: Announced, silence?: number): void;
  /** Access to NATS JetStream; undefined without NATS. */
  readonly jetStream: JetStreamAccess | undefined;
  /** Stop serving new calls, finish those under way within `DRAIN_LIMIT_MS`, close. */
  drain(): Promise<void>;
};

/** How long `drain` waits for calls under way. */
export const DRAIN_LIMIT_MS = 15_000;

/** Whether work ended, well or not, within `ms` milliseconds. */
export async function endsWithin(ms: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const done = work.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}
