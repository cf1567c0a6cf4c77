import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';

/** A client that its certificate makes one of ours is internal from now on: when it connected, nobody had seen it. */
export const clientCertificate: PolicyCheck<'sender'> = ({ session, rules }, accepted) => {
  const entry = rules.trustedCertificate(session);
  return entry === undefined ? goOn() : goOn([`client is in ${entry}: internal`], { ...accepted, scope: 'internal' });
};
