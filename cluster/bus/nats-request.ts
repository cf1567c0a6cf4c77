import { ErrorCode, type NatsConnection, NatsError } from 'nats';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Address, BusReply } from './bus.ts';
import { decodeReply } from './frame.ts';

/** One question over a NATS connection, what its failures mean for a call, and what all of them may hold in memory. */

/** How long a repeatable call waits for the first instance alone, in milliseconds. */
const ALONE = 3000;
/** Bytes of requests that NATS may not have read yet, beyond which calls are refused. */
const UNSENT_LIMIT = 128 * 1024 * 1024;

/** An operation in words. */
export const label = (address: Address): string => `${address.service}.${address.operation}`;

/** The answer, or undefined when nobody listens on the subject. */
export async function ask(
  connection: NatsConnection,
  address: Address,
  subject: string,
  frame: Uint8Array,
  end: number,
): Promise<BusReply | undefined> {
  try {
    const message = await connection.request(subject, frame, { timeout: Math.max(1, end - performance.now()) });
    return decodeReply(message.data);
  } catch (error) {
    if (!(error instanceof NatsError)) throw error;
    if (error.code === ErrorCode.NoResponders) return undefined;
    throw callError(error, address, connection);
  }
}

/** Ask, and once more when the answer is late; the first answer counts, and of two failures the first. */
export async function repeated(ask: () => Promise<BusReply>): Promise<BusReply> {
  const first = ask();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ALONE);
  });
  try {
    const answer = await Promise.race([first, late]);
    if (answer !== undefined) return answer;
  } finally {
    clearTimeout(timer);
  }
  return Promise.any([first, ask()]).catch((error: AggregateError) => {
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
      return unavailable(address, `NATS does not permit it: ${error.message}`);
    default:
      return unavailable(address, errorText(error));
  }
}

/** Bytes of requests that were neither answered nor surely read by the server, on each connection. */
export class Unsent {
  readonly #open = new WeakMap<NatsConnection, { bytes: number }>();

  /**
   * Count bytes that are about to be sent; throws `busy` when NATS has too many of them unread. The returned function
   * ends the count: at once after an answer, and after a timeout when the server has read what was sent before.
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
