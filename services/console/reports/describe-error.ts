import type { ErrorCode } from '#shared/error-codes.ts';
import { errorText, type SealpostError } from '#shared/errors.ts';

/** Messages of these are complete; the system's reason adds nothing. */
const COMPLETE = new Set<ErrorCode>(['no-node', 'store-locked']);

/** Codes are for programs, so people see the message and its causes. A message from a node ends with its code. */
export function describeError(error: SealpostError): string {
  const message = error.message.replace(` (${error.code})`, '');
  return error.cause === undefined || COMPLETE.has(error.code) ? message : `${message}: ${errorText(error.cause)}`;
}
