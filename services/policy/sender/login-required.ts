import type { PolicyCheck } from '../facts.ts';
import { namedBy } from '../relay/host-list.ts';
import { defer, goOn, reject } from '../verdict.ts';

/**
 * RFC 6409 §4.3: submission takes mail from authenticated users only, and from the hosts of `authentication.anonymous`
 * (DOMINO A5). What these may do then is for the checks of any other host: they are not trusted, and relay only where
 * `relay` allows it. The gateway of a container network must be named itself, since anybody may be behind it.
 */
export const loginRequired: PolicyCheck<'sender'> = ({ session, anonymous }) => {
  const { kind, user, gateway, nameFailed } = session;
  if (kind !== 'submission' || user !== undefined) return goOn();
  const entry = namedBy(anonymous, session);
  if (entry !== undefined) return goOn([`client is in authentication.anonymous (${entry}): no log-in needed`]);
  const why = ['a submission listener takes mail from authenticated users only'];
  if (nameFailed && !gateway && anonymous.named) {
    why.push('the name of the client could not be looked up, and authentication.anonymous has names');
    return defer(451, '4.4.3', 'Name of your host cannot be looked up now, please try again later', why);
  }
  return reject(530, '5.7.0', 'Authentication required', why);
};
