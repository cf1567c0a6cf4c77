import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { describeError } from '../reports/describe-error.ts';
import { cleanLines, jsonText } from './table.ts';

/** What the shell sees. */
export const EXIT = { ok: 0, failed: 1, usage: 2, unreachable: 3 } as const;

/** A command line that makes no sense. */
export function usageError(message: string): SealpostError {
  return new SealpostError('usage', message);
}

export function exitCodeOf(error: unknown): number {
  switch (errorCode(error)) {
    case 'usage':
      return EXIT.usage;
    case 'no-node':
    case CALL_ERRORS.unavailable:
    case CALL_ERRORS.timeout:
      return EXIT.unreachable;
    default:
      return EXIT.failed;
  }
}

/** What went wrong, for people or for programs. Only a bug shows its stack. */
export function failureText(error: unknown, json: boolean): string {
  if (error instanceof SealpostError) {
    const message = describeError(error);
    return json ? jsonText({ error: { code: error.code, message } }) : cleanLines(`sealpost: ${message}`);
  }
  // What the operating system refuses (no permission, no space, read-only) is not a bug, wherever it happens.
  if (isSystemError(error)) {
    const code = errorCode(error) ?? CALL_ERRORS.internal;
    return json ? jsonText({ error: { code, message: error.message } }) : cleanLines(`sealpost: ${error.message}`);
  }
  if (json) return jsonText({ error: { code: CALL_ERRORS.internal, message: errorText(error) } });
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return cleanLines(`sealpost: this is a bug, please report it: ${stack}`);
}

/** Whether the operating system refused: no permission, no space, no such file. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'errno' in error;
}
