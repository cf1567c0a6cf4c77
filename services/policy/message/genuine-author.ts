import type { PolicyCheck } from '../facts.ts';
import { goOn, reject } from '../verdict.ts';

/**
 * What was found out about incoming mail goes on with it. Mail whose author readers could see differently is refused:
 * DMARC protects no domain of it, whatever one of them would pass (RFC 9989 §11.5).
 */
export const genuineAuthor: PolicyCheck<'message'> = ({ authenticity }, accepted) => {
  if (authenticity === undefined) return goOn();
  const { spf, dkim, arc, dmarc } = authenticity;
  const signatures = dkim.length === 0 ? 'none' : dkim.map(({ result }) => result).join(', ');
  const why = [`SPF ${spf.result}, DKIM ${signatures}, ARC ${arc.result}, DMARC ${dmarc.result}`];
  if (dmarc.result !== 'permerror') return goOn(why, { ...accepted, authenticity });
  const problem = dmarc.reason ?? 'it has no author';
  return reject(550, '5.7.1', `The author of the message is not clear: ${problem}`, [...why, `author: ${problem}`]);
};
