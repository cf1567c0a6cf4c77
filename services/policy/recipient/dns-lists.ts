import type { PolicyCheck } from '../facts.ts';
import { goOn, refuseStranger, reject } from '../verdict.ts';

/** What DNS lists say of the client (`checks.dns-lists`): an allow list wins over every block list. */
export const dnsLists: PolicyCheck<'recipient'> = ({ session, dnsLists: found, nameMatters }) => {
  if (found === undefined) return goOn();
  if ('exempt' in found) return goOn([`no DNS list is asked: ${found.exempt}`]);
  const { steps, listed } = found;
  if (listed === undefined) return goOn(steps);
  if (listed.on === 'allow') return goOn([...steps, `${listed.by} is an allow list, which wins`]);
  const reason = listed.text === undefined ? '' : `: ${listed.text}`;
  const text = `Client host [${session.client.address}] is listed by ${listed.by}${reason}`;
  return refuseStranger(nameMatters, reject(554, '5.7.1', text, steps));
};
