import type { Address } from '#cluster/bus.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';

/**
 * NATS subjects, derived from contracts and spelled nowhere else (`shared/contract.ts` lists their forms).
 */

/** A part of a subject. Dots, wildcards and white space would address something else, or end the protocol line. */
const TOKEN = /^[A-Za-z0-9_-]{1,64}$/;

function subject(version: number, ...tokens: string[]): string {
  const bad = tokens.find((token) => !TOKEN.test(token));
  if (bad !== undefined) {
    throw new SealpostError(CALL_ERRORS.malformed, `${JSON.stringify(bad)} cannot be part of a bus subject`);
  }
  return `sealpost.v${version}.${tokens.join('.')}`;
}

/** Where requests for an operation go: to any instance, or to the one on `node`. */
export function operationSubject(address: Address, node?: string): string {
  const { version, service, operation } = address;
  return node === undefined ? subject(version, service, operation) : subject(version, service, operation, node);
}

/** Where an event of a service is announced. */
export function eventSubject(service: string, version: number, event: string): string {
  return subject(version, service, 'event', event);
}
