import type { PolicyCheck } from '../../facts.ts';
import { goOn, reject } from '../../verdict.ts';
import { excuseFor } from './excuse.ts';

/**
 * `authenticity.spf.hard-fail` (DOMINO I3): a message whose client the domain does not permit is refused, with the sentence
 * that monitoring matches on, or only tagged, which Received-SPF has done. The code is that of RFC 7372 §3.2.
 */
export const spfHardFail: PolicyCheck<'message'> = (facts) => {
  const { authenticity, incoming, session } = facts;
  if (authenticity?.spf.result !== 'fail') return goOn();
  const { domain } = authenticity.spf;
  const failed = `SPF: ${domain} does not permit ${session.client.address}`;
  if (!incoming.rejectsSpfFail) return goOn([`${failed}: tagged (authenticity.spf.hard-fail)`]);
  const excuse = excuseFor(authenticity, facts);
  if (excuse !== undefined) return goOn([`${failed}: excused, ${excuse.comment}`]);
  const text =
    `Mail rejected for policy reasons. SPF policy for domain ${domain} ` +
    `does not designate host ${session.client.address} as a permitted sender.`;
  const override = { type: 'local_policy' as const, comment: 'SPF fail is refused' };
  const dmarc = { ...authenticity.dmarc, disposition: 'reject' as const, override };
  const why = [failed, 'refused by authenticity.spf.hard-fail'];
  return { ...reject(554, '5.7.23', text, why), authenticity: { ...authenticity, dmarc } };
};
