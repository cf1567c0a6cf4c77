import type { ErrorCode } from './error-codes.ts';

/**
 * The one error class of the code base: an expected failure with a stable code.
 *
 * `code` is what programs compare, a row of `error-codes.ts`, and listed in a contract's `errors` where it crosses a
 * service boundary; `message` is one sentence for the administrator: what happened, to what, what to do.
 * Anything thrown that is not a `SealpostError` is a bug: it is logged with its stack and answered as `internal`.
 */
export class SealpostError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'SealpostError';
    this.code = code;
  }
}

/** The text of anything that was thrown, with the texts of its causes. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const message = withoutOpenSsl(error.message);
  const code =
    'code' in error && typeof error.code === 'string' && !message.includes(error.code) ? ` (${error.code})` : '';
  const cause = error.cause === undefined ? '' : `: ${errorText(error.cause)}`;
  return `${message}${code}${cause}`;
}

/**
 * `40C7…:error:0A00010B:SSL routines:tls_get_more_records:wrong version number:../deps/…/tlsany_meth.c:84:` → `wrong
 * version number`: OpenSSL puts its function, file and line into what Node passes on.
 */
function withoutOpenSsl(message: string): string {
  return /error:[0-9A-F]{8}:[^:]*:[^:]*:([^:]+)/.exec(message)?.[1] ?? message;
}

/** The text of an error as part of a sentence: our own errors are sentences already and need no code. */
export function reasonText(error: unknown): string {
  return error instanceof SealpostError && error.cause === undefined ? error.message : errorText(error);
}

/** Codes of others are in capitals: `ENOSPC` of the system, `LEVEL_LOCKED`, `ERR_…` of Node. */
type ForeignCode = Uppercase<string>;

/** The code of a `SealpostError` or of a Node system error (`ENOSPC`), else undefined. */
export function errorCode(error: unknown): ErrorCode | ForeignCode | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code as ForeignCode;
  return undefined;
}
