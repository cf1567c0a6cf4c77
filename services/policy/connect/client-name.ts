import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';

/** The client's name, confirmed by DNS (DOMINO R4). Nobody is refused for want of one. */
export const clientName: PolicyCheck<'connect'> = ({ address, name }, accepted) => {
  const none = name === null ? 'has no confirmed name' : 'has a name or none: DNS did not say';
  const step = `${address} ${name ? `is ${name}` : none}`;
  return goOn([step], { ...accepted, name: name ?? null, nameFailed: name === undefined });
};
