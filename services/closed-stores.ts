import { type ClosedCredentials, openClosedCredentials } from '#services/credential-store/closed.ts';
import { type ClosedQueue, openClosedQueue } from '#services/router/closed.ts';

/**
 * The stores of a node that does not run, for the command line alone: a backup reads them where no service answers, and a
 * restoration writes them. Each belongs to its service, which says what can be done with it (`services/<name>/closed.ts`).
 */
export { type ClosedCredentials, type ClosedQueue, openClosedCredentials, openClosedQueue };
