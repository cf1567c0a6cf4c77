import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';

/** Our own notices about mail with a rewritten reverse-path go where that leads (gathering/sender-mailbox.ts). */
export const noticesTo: PolicyCheck<'recipient'> = ({ senderMailbox: reportTo, reversePath }, accepted) => {
  if (reportTo === undefined || reportTo === reversePath || accepted === undefined) return goOn();
  return goOn([], { recipients: accepted.recipients.map((recipient) => ({ ...recipient, reportTo })) });
};
