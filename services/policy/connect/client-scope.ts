import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';

/** Whether the client is one of ours (DOMINO R4, R6). */
export const clientScope: PolicyCheck<'connect'> = ({ address, gateway, rules }, accepted) => {
  const entry = rules.trustedHost({ client: { address, name: accepted.name }, gateway });
  return entry === undefined
    ? goOn(['no trusted host of relay.allow.hosts: external'], { ...accepted, scope: 'external' })
    : goOn([`in relay.allow.hosts (${entry}): internal`], { ...accepted, scope: 'internal' });
};
