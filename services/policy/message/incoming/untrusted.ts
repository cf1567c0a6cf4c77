import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { PolicyCheck } from '../../facts.ts';
import { goOn } from '../../verdict.ts';
import { excuseFor } from './excuse.ts';

/**
 * Mail that is not trusted gets the junk mark (DOMINO I6): DKIM fail, SPF fail, SPF permerror, and SPF softfail where
 * `authenticity.junk.soft-fail` says so. A signature that fails is as good as none beside one that passes (RFC 6376 §6.1). A
 * message that passes DMARC is from its author's domain, whatever else fails on its way.
 */
export const untrusted: PolicyCheck<'message'> = (facts, accepted) => {
  const { authenticity, incoming } = facts;
  if (authenticity === undefined) return goOn();
  const marks = faults(authenticity, incoming.junksSoftFail);
  if (marks.length === 0) return goOn();
  const untrusted = `not trusted: ${marks.join(', ')}`;
  if (authenticity.dmarc.result === 'pass') return goOn([`${untrusted}; but DMARC passes`]);
  const excuse = excuseFor(authenticity, facts);
  if (excuse !== undefined) return goOn([`${untrusted}; excused, ${excuse.comment}`]);
  return goOn([`${untrusted}: marked as junk`], { ...accepted, junk: true });
};

function faults({ spf, dkim }: Authenticity, softFail: boolean): string[] {
  const failed = dkim.some(({ result }) => result === 'fail') && !dkim.some(({ result }) => result === 'pass');
  const { result } = spf;
  const isFault = result === 'fail' || result === 'permerror' || (softFail && result === 'softfail');
  return [...(failed ? ['DKIM fail'] : []), ...(isFault ? [`SPF ${result}`] : [])];
}
