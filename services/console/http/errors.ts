import type { FastifyInstance, FastifyReply } from 'fastify';
import { CALL_ERRORS } from '#shared/contract.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { describeError } from '../reports/describe-error.ts';

/** Errors as answers: `{ error: { code, message } }`, with the sentence that the command line would print. */

/** Codes that are not about the state of what is asked for: those are 409. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  'not-signed-in': 401,
  'sign-in-failed': 401,
  forbidden: 403,
  'not-found': 404,
  'too-large': 413,
  malformed: 422,
  usage: 422,
  invalid: 422,
  'invalid-name': 422,
  'invalid-record': 422,
  'invalid-schedule': 422,
  'invalid-directive': 422,
  'weak-key': 422,
  'too-many-requests': 429,
  internal: 500,
  unavailable: 503,
  timeout: 503,
  busy: 503,
  'no-quorum': 503,
  'no-router': 503,
  'not-accepting': 503,
  'openid-failed': 503,
  'not-caught-up': 503,
};

export function statusOf(code: ErrorCode): number {
  return STATUS[code] ?? 409;
}

export function sendError(reply: FastifyReply, error: SealpostError): FastifyReply {
  const { code } = error;
  if (code === 'not-signed-in') reply.header('www-authenticate', 'Bearer realm="sealpost console"');
  return reply.code(statusOf(code)).send({ error: { code, message: describeError(error) } });
}

/** What fastify itself refuses, by the status that it gives. */
const REFUSED: Readonly<Record<number, () => SealpostError>> = {
  400: () => new SealpostError('malformed', 'the request cannot be read: its body must be JSON'),
  404: () => new SealpostError('not-found', 'there is nothing at this address'),
  413: () => new SealpostError('too-large', 'the request is larger than this address takes'),
  414: () => new SealpostError('malformed', 'the address is too long'),
  415: () => new SealpostError('malformed', 'the body must be JSON: content-type: application/json'),
  429: () => new SealpostError('too-many-requests', 'too many requests from your address: wait a minute'),
};

export function handleErrors(app: FastifyInstance, log: Logger): void {
  app.setErrorHandler((error, request, reply) => {
    if (error instanceof SealpostError) return sendError(reply, error);
    const status = statusIn(error);
    const refused = REFUSED[status];
    if (refused !== undefined) return sendError(reply, refused());
    if (status >= 400 && status < 500) return sendError(reply, new SealpostError('malformed', errorText(error)));
    const path = request.routeOptions.url;
    log.error({ method: request.method, path, err: error }, 'a request to the console failed: please report this bug');
    return sendError(reply, new SealpostError(CALL_ERRORS.internal, 'this is a bug: the log of the console has more'));
  });
}

function statusIn(error: unknown): number {
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : 500;
}
