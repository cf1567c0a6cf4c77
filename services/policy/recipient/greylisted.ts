import { reply } from '#shared/mail/reply.ts';
import { formatDuration } from '#shared/units.ts';
import type { PolicyCheck, PolicyFacts, PolicyVerdict } from '../facts.ts';
import type { SharedGreylist } from '../greylist/shared-greylist.ts';
import { goOn } from '../verdict.ts';

const GREYLISTED = reply(451, '4.7.1', 'Greylisted, please try again later');

/**
 * Clients that nobody knows must come again (`checks.greylist`, RFC 6647). The last check of a recipient: what another one
 * refuses is not remembered, so nobody fills the memory with recipients that do not exist.
 */
export const greylisted: PolicyCheck<'recipient'> = ({ greylist: found, dnsLists }) => {
  if (found === undefined) return goOn();
  if ('exempt' in found) return goOn([`not greylisted: ${found.exempt}`]);
  if (dnsLists !== undefined && 'listed' in dnsLists && dnsLists.listed?.on === 'allow') {
    return goOn([`not greylisted: ${dnsLists.listed.by} lists the client`]);
  }
  switch (found.kind) {
    case 'passed':
      return goOn([`${found.network} passed the greylist before`]);
    case 'retried':
      return goOn([`${found.network} has come again: it passes the greylist`]);
    case 'first':
      return { action: 'defer', reply: GREYLISTED, why: [`first attempt from ${found.network}: greylisted`] };
    case 'early': {
      const why = [`${found.network} came again too early: greylisted for ${formatDuration(found.wait)} more`];
      return { action: 'defer', reply: GREYLISTED, why };
    }
  }
};

/** Remember what became of an attempt: accepted at last, or deferred by this check and no other. Returns the verdict. */
export function noteAttempt<Verdict extends PolicyVerdict<'recipient'>>(
  list: SharedGreylist,
  { greylist: found }: PolicyFacts['recipient'],
  verdict: Verdict,
): Verdict {
  if (found === undefined || 'exempt' in found) return verdict;
  if (verdict.action === 'accept') list.note(found, 'accepted');
  else if (verdict.reply === GREYLISTED) list.note(found, 'deferred');
  return verdict;
}
