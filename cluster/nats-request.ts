import { ErrorCode, type NatsConnection, NatsError } from 'nats';
import type { Address, BusReply } from '#cluster/bus.ts';
import { decodeReply } from '#cluster/frame.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorText, SealpostError } from '#shared/errors.ts';

/** One question over a NATS connection, and what its failures mean for a call. */

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
