import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';

/**
 * Mail that a group with an owner sends on to its members has the owner as its reverse-path (RFC 5321 §3.9.2): bounces are no
 * business of those who write to the list. What the sender asked to hear is not passed on: for the sender the list is where
 * the mail is delivered (RFC 3461 §5.2.7.1). A notification stays one.
 */
export const listOwner: PolicyCheck<'recipient'> = ({ group, reversePath }, accepted) => {
  if (group?.owner === undefined || group.mode === 'pass-on' || accepted === undefined || reversePath === '')
    return goOn();
  const { address, reportTo } = group.owner;
  const recipients = accepted.recipients.map(({ notify, orcpt: _, list: __, ...recipient }) => ({
    ...recipient,
    ...(notify?.includes('SUCCESS') === true && { list: 'delivered' as const }),
    reversePath: address,
    reportTo,
  }));
  return goOn([`reverse-path of the list: ${address}`], { recipients });
};
