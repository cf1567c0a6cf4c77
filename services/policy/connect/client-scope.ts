import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';

/** Whether the client is one of ours (DOMINO R4, R6): internal, or trusted by the relay rules. */
export const clientScope: PolicyCheck<'connect'> = ({ address, gateway, rules }, accepted) => {
  const client = { client: { address, name: accepted.name }, gateway };
  const entry = rules.internalHost(client) ?? rules.trustedHost(client);
  return entry === undefined
    ? goOn(['neither an internal nor a trusted host: external'], { ...accepted, scope: 'external' })
    : goOn([`in ${entry}: internal`], { ...accepted, scope: 'internal' });
};
