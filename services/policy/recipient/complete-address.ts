import type { PolicyCheck } from '../facts.ts';
import { goOn, reject } from '../verdict.ts';

/** A mailbox with a domain. The listener's grammar refuses others already; policy does not rely on it. */
export const completeAddress: PolicyCheck<'recipient'> = ({ address, domain, local }) =>
  domain === '' || local === '' || local === address
    ? reject(553, '5.1.3', 'Recipient address needs a local part and a domain', ['no mailbox with a domain']) // RFC 3463 §3.2
    : goOn();
