/**
 * The one error class of the code base: an expected failure with a stable code.
 *
 * `code` is what programs compare (kebab-case, listed in a contract's `errors` where it crosses a service
 * boundary); `message` is one sentence for the administrator: what happened, to what, what to do.
 * Anything thrown that is not a `SealpostError` is a bug: it is logged with its stack and answered as `internal`.
 */
export class SealpostError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'SealpostError';
    this.code = code;
  }
}

/** The text of anything that was thrown, with the texts of its causes. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code =
    'code' in error && typeof error.code === 'string' && !error.message.includes(error.code) ? ` (${error.code})` : '';
  const cause = error.cause === undefined ? '' : `: ${errorText(error.cause)}`;
  return `${error.message}${code}${cause}`;
}

/** The code of a `SealpostError` or of a Node system error (`ENOSPC`), else undefined. */
export function errorCode(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}
