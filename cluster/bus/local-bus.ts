import { CALL_ERRORS } from '#shared/contract.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';
import {
  type Address,
  type Bus,
  type BusHandler,
  type BusReply,
  type BusRequest,
  DRAIN_LIMIT_MS,
  endsWithin,
} from './bus.ts';

const key = (a: Address): string => `v${a.version}.${a.service}.${a.operation}`;
const eventKey = (service: string, version: number, event: string): string => `v${version}.${service}.${event}`;

/**
 * The bus of one process: a table of handlers. Fields are handed over as they are; the actor's parsing on both
 * sides copies what it accepts, so neither side can change the other's data by accident.
 */
export class LocalBus implements Bus {
  readonly maxPayload = Number.POSITIVE_INFINITY;
  readonly jetStream = undefined;
  readonly process = newId();
  readonly connection = 1;
  readonly denials = [];
  readonly #node: string;
  readonly #handlers = new Map<string, BusHandler>();
  readonly #listeners = new Map<string, Set<(payload: unknown) => void>>();
  readonly #underWay = new Set<Promise<unknown>>();
  #closed = false;

  constructor(node: string) {
    this.#node = node;
  }

  get connected(): boolean {
    return !this.#closed;
  }

  serve(address: Address, handler: BusHandler): () => void {
    const name = key(address);
    if (this.#handlers.has(name)) throw new Error(`${name} is served twice in one process`);
    this.#handlers.set(name, handler);
    return () => this.#handlers.delete(name);
  }

  /** Whether this process serves the operation itself. */
  serves(address: Address): boolean {
    return !this.#closed && this.#handlers.has(key(address));
  }

  /** Whether a call to this node, or to the process of this id, is one to us. */
  isNamed(name: string): boolean {
    return name === this.#node || name === this.process;
  }

  async call(address: Address, request: BusRequest, node?: string): Promise<BusReply> {
    if (!this.serves(address) || (node !== undefined && !this.isNamed(node))) throw this.#unavailable(address, node);
    return withDeadline(this.take(address, request), request.timeout, address);
  }

  /** Hand a request to its handler, whatever its deadline: that is the caller's. Never rejects. */
  take(address: Address, request: BusRequest): Promise<BusReply> {
    const handler = this.#closed ? undefined : this.#handlers.get(key(address));
    if (handler === undefined) return Promise.resolve({ ...failure(this.#unavailable(address)), elsewhere: true });
    const answer = handler(request).catch((cause: unknown) =>
      failure(new SealpostError(CALL_ERRORS.internal, `${key(address)} failed: ${errorText(cause)}`)),
    );
    this.#underWay.add(answer);
    void answer.then(() => this.#underWay.delete(answer));
    return answer;
  }

  #unavailable(address: Address, node = this.#node): SealpostError {
    return new SealpostError(CALL_ERRORS.unavailable, `no ${address.service} service answers on node ${node}`);
  }

  publish(service: string, version: number, event: string, payload: unknown): void {
    for (const listener of this.#listeners.get(eventKey(service, version, event)) ?? []) {
      queueMicrotask(() => listener(payload));
    }
  }

  subscribe(service: string, version: number, event: string, listener: (payload: unknown) => void): () => void {
    const name = eventKey(service, version, event);
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** There are no other processes. */
  heard(): void {}

  async drain(): Promise<void> {
    this.#closed = true;
    await endsWithin(DRAIN_LIMIT_MS, Promise.all(this.#underWay));
    this.#handlers.clear();
    this.#listeners.clear();
  }
}

/** A failure as an answer. */
export function failure(error: SealpostError): BusReply {
  return { ok: false, code: error.code, message: error.message };
}

/** The answer, or `timeout` when it does not come in time. */
async function withDeadline(answer: Promise<BusReply>, timeout: number, address: Address): Promise<BusReply> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new SealpostError(CALL_ERRORS.timeout, `${key(address)} did not answer within ${timeout} ms`));
    }, timeout);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
