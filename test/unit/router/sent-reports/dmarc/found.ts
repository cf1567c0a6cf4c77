import type { Authenticity } from '#shared/mail/authenticity.ts';

/** What was found out about a message in the name of `from`, which passed DMARC by DKIM unless the test says otherwise. */
export function found(
  from: string,
  dmarc: Partial<Authenticity['dmarc']> = {},
  rua = `mailto:dmarc@${from}`,
): Authenticity {
  const passed = (dmarc.result ?? 'pass') === 'pass';
  return {
    spf: { result: passed ? 'pass' : 'fail', scope: 'mfrom', domain: from },
    dkim: passed ? [{ result: 'pass', domain: from, selector: 's1', aligned: true }] : [],
    arc: { result: 'none', sets: 0 },
    dmarc: {
      result: 'pass',
      from,
      record: { domain: from, p: 'reject', adkim: 'r', aspf: 'r', testing: false, rua },
      policy: 'reject',
      dkimAligned: passed,
      spfAligned: passed,
      disposition: passed ? 'none' : 'reject',
      ...dmarc,
    },
  };
}
