import type { PolicyCheck } from '../facts.ts';
import { goOn, refuseStranger, reject } from '../verdict.ts';
import { recipientsAt } from './as-named.ts';

/** `directory.mail-to-groups`: whether mail for a group is taken, and who expands it. */
export const mailToGroups: PolicyCheck<'recipient'> = (facts, accepted) => {
  const { group, session, address, nameMatters } = facts;
  if (group === undefined || accepted !== undefined) return goOn();
  switch (group.mode) {
    case 'expand':
      return goOn();
    case 'refuse-outsiders':
      return session.user !== undefined || session.scope === 'internal'
        ? goOn(['a group, which takes mail of users and of internal hosts'])
        : refuseStranger(nameMatters, refuse('a group, and the client is neither a user nor an internal host'));
    case 'refuse':
      return refuse('a group');
    case 'pass-on':
      return goOn(['a group, which the next hop expands'], { recipients: recipientsAt([address], facts) });
  }
};

/** RFC 3463 §3.8: X.7.2, mailing list expansion prohibited. */
function refuse(what: string) {
  return reject(550, '5.7.2', 'Mail to groups rejected for policy reasons', [
    `${what}: refused by directory.mail-to-groups`,
  ]);
}
