import { ErrorCode, type NatsConnection, NatsError } from 'nats';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Address, BusReply, BusRequest } from './bus.ts';
import { RENEW_PERMISSIONS } from './denials.ts';
import { decodeReply } from './frame.ts';
import { EXPECT_MS, type Instances } from './instances.ts';
import { Replies } from './nats-replies.ts';
import { operationSubject } from './subjects.ts';

/** Requests that go out over NATS: which instances are asked, what failures mean, and how many bytes may be unsent. */

/**
 * How long a repeatable call waits for the first instance alone. Where none was heard yet, as in a process that has just
 * started, any may have been asked, also one that hangs: by then one that does not was heard (`EXPECT_MS`).
 */
const ALONE_MS = 3000;
/** Bytes of requests that NATS may not have read yet, beyond which calls are refused. */
const UNSENT_LIMIT = 128 * 1024 * 1024;
/** How long this node's mailbox counts as unserved after NATS said so. */
const ABSENT_MS = 1000;
/** How long this node's mailbox is passed over after it let a call run out of time. */
const SILENT_MS = 10_000;
/** Instances that one call asks by name. */
const MOST_NAMED = 5;
/** Instances that one call asks over the shared mailbox, while servers still tell each other which stepped aside. */
const MOST_ASKED = 20;

/** A call on its way out. */
export type OutgoingCall = {
  connection: NatsConnection;
  address: Address;
  /** The request in the form of `frame.ts`. */
  frame: Uint8Array;
  /** ms */
  timeout: number;
  repeatable: BusRequest['repeatable'];
  /** A node's name or a process's id, where the call is to that one alone. */
  node: string | undefined;
  /** The answer of an instance that was asked before and sent the caller elsewhere. */
  declined: BusReply | undefined;
};

/** One question: a call to one subject, until a moment of `performance.now`. */
type Question = Pick<OutgoingCall, 'connection' | 'address' | 'frame'> & { subject: string; end: number };

export class OutgoingCalls {
  readonly #node: string;
  readonly #replies: Replies;
  /** Until when (`performance.now`) a service counts as absent from this node, by service. */
  readonly #absent = new Map<string, number>();
  readonly #open = new Set<Promise<BusReply>>();
  readonly #unsent = new Unsent();
  readonly #instances: Instances;

  constructor(node: string, user: string | undefined, instances: Instances) {
    this.#node = node;
    this.#replies = new Replies(user);
    this.#instances = instances;
  }

  /** Calls that wait for their answer. */
  get open(): number {
    return this.#open.size;
  }

  /** Resolves when every call that is open now has ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#open);
  }

  /** Ask; rejects with the codes of `CALL_ERRORS`, and throws `busy` when NATS reads too slowly. */
  send(call: OutgoingCall): Promise<BusReply> {
    const sent = this.#unsent.count(call.connection, call.frame.length);
    const end = performance.now() + call.timeout;
    const answer = call.node === undefined ? this.#askSome(call, end) : this.#askNode(call, call.node, end);
    this.#open.add(answer);
    answer.then(sent, sent).finally(() => this.#open.delete(answer));
    return answer;
  }

  /** The own node first, then any; a second time where the answer is late and the call may be repeated. */
  #askSome(call: OutgoingCall, end: number): Promise<BusReply> {
    // The second question does not go where the first one waits.
    const asked = new Set<string>();
    const first = async (): Promise<BusReply> => {
      const own = await this.#askOwn(call, end);
      if (own !== undefined && !isDeclined(own)) return own;
      return this.#askOthers({ ...call, declined: call.declined ?? own }, end, { asked, patient: false });
    };
    if (call.repeatable !== true) return first();
    const second = (): Promise<BusReply> => this.#askOthers(call, end, { asked, patient: asked.size === 0 });
    return repeated(first, second, this.#instances.knows(call.address.service) ? ALONE_MS : EXPECT_MS);
  }

  /** One of those that are heard; where none is, or is after a moment for the `patient`, any that NATS chooses. */
  async #askOthers(
    call: OutgoingCall,
    end: number,
    { asked, patient }: { asked: Set<string>; patient: boolean },
  ): Promise<BusReply> {
    const { address } = call;
    let first = call.declined;
    for (let named = 0; named < MOST_NAMED; named++) {
      const name = await this.#instances.choose(address.service, asked, end, patient);
      if (name === undefined) break;
      asked.add(name);
      const answer = await this.#askUnlessSilent(call, name, end);
      if (answer !== undefined && !isDeclined(answer)) return answer;
      first ??= answer;
    }
    // In the shared mailbox are silent instances too: it is for where none is heard.
    if (first !== undefined && asked.size > 0) return first;
    const subject = operationSubject(address);
    for (let shared = 0; shared < MOST_ASKED; shared++) {
      const answer = await this.#ask({ ...call, subject, end });
      if (answer === undefined) break;
      if (!isDeclined(answer)) return answer;
      first ??= answer;
    }
    if (first !== undefined) return first;
    throw unavailable(address, 'no process serves it');
  }

  /** The answer of this node; undefined where it does not serve the operation, or did not a moment ago. */
  async #askOwn(call: OutgoingCall, end: number): Promise<BusReply | undefined> {
    const service = `${call.address.service} v${call.address.version}`;
    if ((this.#absent.get(service) ?? 0) >= performance.now()) return undefined;
    if (this.#instances.isSilent(call.address.service, this.#node)) return undefined;
    try {
      const answer = await this.#askUnlessSilent(call, this.#node, end);
      if (answer === undefined) this.#absent.set(service, performance.now() + ABSENT_MS);
      return answer;
    } catch (error) {
      // A process that hangs still has its mailbox: others that serve it are asked for a while.
      if (errorCode(error) === CALL_ERRORS.timeout) this.#absent.set(service, performance.now() + SILENT_MS);
      throw error;
    }
  }

  /** The answer; undefined where there is no such instance, and where it became silent and another one may be asked. */
  async #askUnlessSilent(call: OutgoingCall, name: string, end: number): Promise<BusReply | undefined> {
    try {
      const answer = await this.#askNamed(call, name, end);
      if (answer === undefined) this.#instances.markAbsent(name);
      return answer;
    } catch (error) {
      if (error instanceof Silent && call.repeatable !== undefined && performance.now() < end) return undefined;
      throw error;
    }
  }

  async #askNode(call: OutgoingCall, node: string, end: number): Promise<BusReply> {
    const answer = await this.#askNamed(call, node, end);
    if (answer === undefined) throw unavailable(call.address, `node ${node} does not serve it`);
    return answer;
  }

  /** Ask the instance of a node or process, for no longer than it is heard. */
  async #askNamed(call: OutgoingCall, name: string, end: number): Promise<BusReply | undefined> {
    const silent = Promise.withResolvers<never>();
    const unwatch = this.#instances.watch(call.address, name, () => silent.reject(new Silent(call.address, name)));
    const known = this.#instances.nameOf(call.address.service, name);
    const exchange = async (): Promise<BusReply | undefined> => {
      const answer = await this.#ask({ ...call, subject: operationSubject(call.address, known), end });
      // It may have another connection since it was heard.
      if (answer !== undefined || known === name) return answer;
      return this.#ask({ ...call, subject: operationSubject(call.address, name), end });
    };
    try {
      return await Promise.race([exchange(), silent.promise]);
    } finally {
      unwatch();
    }
  }

  /** The answer, or undefined when the subject has no subscriber. */
  async #ask({ connection, address, subject, frame, end }: Question): Promise<BusReply | undefined> {
    try {
      const request = { subject, frame, timeout: Math.max(1, end - performance.now()) };
      const message = await this.#replies.request(connection, address.service, request);
      return decodeReply(message.data);
    } catch (error) {
      if (!(error instanceof NatsError)) throw error;
      if (error.code === ErrorCode.NoResponders) return undefined;
      throw callError(error, address, connection);
    }
  }
}

/** The instance of a call that waits cannot answer it any more. Whether the operation was done is unknown. */
class Silent extends SealpostError {
  constructor(address: Address, name: string) {
    super(CALL_ERRORS.timeout, `${label(address)}: ${name} did not answer, and is silent or has lost its connection`);
  }
}

/** Whether an instance did nothing and sends the caller to another one. */
export const isDeclined = (reply: BusReply): boolean => !reply.ok && reply.elsewhere === true;

/** An operation in words. */
export const label = (address: Address): string => `${address.service}.${address.operation}`;

/**
 * Ask, and ask a second time when no answer has come within `aloneMs`; the first answer counts, and of two failures the
 * first.
 */
async function repeated(
  ask: () => Promise<BusReply>,
  askAgain: () => Promise<BusReply>,
  aloneMs: number,
): Promise<BusReply> {
  const first = ask();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), aloneMs);
  });
  try {
    const answer = await Promise.race([first, late]);
    if (answer !== undefined) return answer;
  } finally {
    clearTimeout(timer);
  }
  return Promise.any([first, askAgain()]).catch((error: AggregateError) => {
    throw error.errors[0];
  });
}

export function unavailable(address: Address, why: string): SealpostError {
  return new SealpostError(CALL_ERRORS.unavailable, `${label(address)} cannot be called: ${why}`);
}

function callError(error: NatsError, address: Address, connection: NatsConnection): SealpostError {
  switch (error.code) {
    case ErrorCode.Timeout: {
      const text = connection.isClosed() ? 'the connection to NATS broke before its answer' : 'no answer came in time';
      return new SealpostError(CALL_ERRORS.timeout, `${label(address)}: ${text}`);
    }
    case ErrorCode.MaxPayloadExceeded:
      return new SealpostError(CALL_ERRORS.tooLarge, `${label(address)}: NATS does not carry the request`, {
        cause: error,
      });
    case ErrorCode.PermissionsViolation:
      return unavailable(address, `NATS does not permit it: ${error.message}; ${RENEW_PERMISSIONS}`);
    default:
      return unavailable(address, errorText(error));
  }
}

/** Bytes of requests that were neither answered nor surely read by the server, on each connection. */
class Unsent {
  readonly #open = new WeakMap<NatsConnection, { bytes: number }>();

  /**
   * Count bytes that are about to be sent; throws `busy` when NATS has too many of them unread. The returned function
   * ends the count: immediately after an answer, and after a timeout when the server has read what was sent before.
   */
  count(connection: NatsConnection, bytes: number): (outcome: unknown) => void {
    const unsent = this.#open.get(connection) ?? { bytes: 0 };
    if (unsent.bytes + bytes > UNSENT_LIMIT) {
      throw new SealpostError(CALL_ERRORS.busy, `NATS reads too slowly: ${unsent.bytes} bytes of requests wait for it`);
    }
    this.#open.set(connection, unsent);
    unsent.bytes += bytes;
    const end = (): void => {
      unsent.bytes -= bytes;
    };
    return (outcome) => {
      if (errorCode(outcome) === CALL_ERRORS.timeout) connection.flush().then(end, end);
      else end();
    };
  }
}
