import type { Address, Bus, BusHandler, BusReply, BusRequest } from '#cluster/bus.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';

const key = (a: Address): string => `${a.service}.${a.operation}`;

/**
 * The bus of one process: a table of handlers. Fields are handed over as they are; the actor's parsing on both
 * sides copies what it lets through, so neither side can change the other's data by accident.
 */
export class LocalBus implements Bus {
  readonly maxPayload = Number.POSITIVE_INFINITY;
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

  async call(address: Address, request: BusRequest, node?: string): Promise<BusReply> {
    const handler = node === undefined || node === this.#node ? this.#handlers.get(key(address)) : undefined;
    if (handler === undefined || this.#closed) {
      throw new SealpostError(
        CALL_ERRORS.unavailable,
        `no ${address.service} service answers on node ${node ?? this.#node}`,
      );
    }
    const answer = handler(request);
    this.#underWay.add(answer);
    answer.finally(() => this.#underWay.delete(answer)).catch(() => undefined);
    return withDeadline(answer, request.timeout, address);
  }

  publish(service: string, _version: number, event: string, payload: unknown): void {
    for (const listener of this.#listeners.get(`${service}.${event}`) ?? []) queueMicrotask(() => listener(payload));
  }

  subscribe(service: string, _version: number, event: string, listener: (payload: unknown) => void): () => void {
    const name = `${service}.${event}`;
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  async drain(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#underWay);
    this.#handlers.clear();
    this.#listeners.clear();
  }
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
