import type { Contract, OperationSpec, Service } from '#shared/contract.ts';
import type { Address } from './bus/bus.ts';

/**
 * Contracts of two versions side by side, so that a cluster can be upgraded one process at a time.
 *
 * The promise: processes of one version of Sealpost and of the next understand each other, whatever services each
 * runs and in whatever order they are replaced. Nothing is promised across two versions.
 *
 * - Within a version of a contract only such changes are made as neither side must know of: another operation or event,
 *   a request or reply field that may be absent. A snapshot of every contract guards that
 *   (`test/kit/contracts/contract-snapshot.ts`).
 * - Any other change is a next version, which names the one before and how messages of the one become those of the other
 *   (`defineContract`, `previous`). A process that serves the one then serves both. A caller asks in its own
 *   version first, and in the version before where no process serves that, or all that do are full. Events are
 *   announced in both.
 * - An operation that only one of the two has exists for callers of that version alone: one that is to be removed is
 *   not called any more for one version before it is removed.
 * - Users of NATS may do in both versions what they may do. So renew their permissions before the first process is
 *   upgraded ("sealpost cluster nats-config").
 *
 * While only processes of the version before serve something, each call of a newer one costs one more round trip.
 */

/** The field of an event in the version before that says in which newer version it was announced too. */
const ALSO = '$also';

type Handler = (request: unknown, context: never) => unknown;
type Same = { older: (value: unknown) => unknown; newer: (value: unknown) => unknown };
const same: Same = { older: (value) => value, newer: (value) => value };
const sameBoth: { request: Same; reply: Same } = { request: same, reply: same };

/** How an operation's messages become those of the version before and back; undefined where that one does not have it. */
function conversionOf({ previous }: Contract, operation: string): { request: Same; reply: Same } | undefined {
  if (previous === undefined || !Object.hasOwn(previous.contract.operations, operation)) return undefined;
  return { ...sameBoth, ...(previous.operations?.[operation] as Partial<typeof sameBoth> | undefined) };
}

/** The same service as the version before knew it; undefined where there was none. */
export function olderService({ contract, handlers }: Service): Pick<Service, 'contract' | 'handlers'> | undefined {
  const { previous } = contract;
  if (previous === undefined) return undefined;
  const operations: Record<string, OperationSpec> = {};
  const older: Record<string, Handler> = {};
  for (const [operation, spec] of Object.entries(contract.operations)) {
    const conversion = conversionOf(contract, operation);
    const before = previous.contract.operations[operation];
    if (conversion === undefined || before === undefined) continue;
    const { errors, elsewhere } = spec;
    operations[operation] = { ...before, ...(errors && { errors }), ...(elsewhere && { elsewhere }) };
    const handler = handlers[operation] as Handler;
    older[operation] = async (request, context) => {
      const answer = await handler(spec.request.parse(conversion.request.newer(request)), context);
      return convertAnswer(spec, answer, conversion.reply.older);
    };
  }
  return { contract: { ...previous.contract, operations }, handlers: older as Service['handlers'] };
}

/** An operation in the version before, and how to ask there and what its answer means; undefined where there was none. */
export function olderOperation(contract: Contract, operation: string): OlderOperation | undefined {
  const conversion = conversionOf(contract, operation);
  const spec = contract.operations[operation];
  const before = contract.previous?.contract.operations[operation];
  if (contract.previous === undefined || conversion === undefined || spec === undefined || before === undefined) {
    return undefined;
  }
  return {
    contract: contract.previous.contract,
    spec: before,
    request: conversion.request.older,
    answer: (answer) => convertAnswer(spec, answer, (reply) => spec.reply.parse(conversion.reply.newer(reply))),
  };
}

export type OlderOperation = {
  contract: Contract;
  spec: OperationSpec;
  request: (fields: unknown) => unknown;
  answer: (answer: unknown) => unknown;
};

/** The reply alone is converted; a byte string beside it passes as it is. */
function convertAnswer(spec: OperationSpec, answer: unknown, convert: (reply: unknown) => unknown): unknown {
  if (spec.bytes !== 'reply') return convert(answer);
  const { reply, bytes } = answer as { reply: unknown; bytes: Uint8Array };
  return { reply: convert(reply), bytes };
}

/** An event in the version before; undefined where that one does not have it. */
export function olderEvent(contract: Contract, event: string): OlderEvent | undefined {
  const { previous, version } = contract;
  if (previous === undefined || !Object.hasOwn(previous.contract.events, event)) return undefined;
  const conversion: Same = { ...same, ...(previous.events?.[event] as Partial<Same> | undefined) };
  return {
    contract: previous.contract,
    payload: (payload) => ({ ...(conversion.older(payload) as object), [ALSO]: version }),
    isCopy: (payload) => typeof payload === 'object' && payload !== null && Reflect.get(payload, ALSO) === version,
    newer: conversion.newer,
  };
}

export type OlderEvent = {
  contract: Contract;
  payload: (payload: unknown) => object;
  /** Whether this was announced in the newer version too: a listener to that one has heard it. */
  isCopy: (payload: unknown) => boolean;
  newer: (payload: unknown) => unknown;
};

/** Where requests for these operations go, in every version that is spoken. */
export function spokenOperations(contract: Contract, names: readonly string[]): Address[] {
  return spoken(contract).flatMap(({ name, version, operations }) =>
    names.filter((n) => Object.hasOwn(operations, n)).map((operation) => ({ service: name, version, operation })),
  );
}

/** Where these events are announced, in every version that is spoken. */
export function spokenEvents(
  contract: Contract,
  names: readonly string[],
): { service: string; version: number; event: string }[] {
  return spoken(contract).flatMap(({ name, version, events }) =>
    names.filter((n) => Object.hasOwn(events, n)).map((event) => ({ service: name, version, event })),
  );
}

function spoken(contract: Contract): Contract[] {
  return contract.previous === undefined ? [contract] : [contract, contract.previous.contract];
}
