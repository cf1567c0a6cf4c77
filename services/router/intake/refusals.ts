import { isOutOfSpace } from '#cluster/level.ts';
import { SealpostError } from '#shared/errors.ts';

/** Why no mail is accepted, whatever the message. */

export function stopping(): SealpostError {
  return new SealpostError('not-accepting', 'the router is stopping');
}

export function storeRefusal(cause: unknown): SealpostError {
  return isOutOfSpace(cause)
    ? new SealpostError('full', 'no space left on the disk of the queue', { cause })
    : new SealpostError('not-accepting', 'the queue cannot write to its disk', { cause });
}
