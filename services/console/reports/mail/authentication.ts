import type { Authenticity, DkimFound, DmarcFound } from '#shared/mail/authenticity.ts';

/** What was found out about the genuineness of a message, for people. Pure. */

export type AuthenticationResult = { method: string; result: string; details: string[]; reason?: string | undefined };

export function authenticationResults({ spf, dkim, arc, dmarc }: Authenticity): AuthenticationResult[] {
  const checked = `of ${spf.scope === 'mfrom' ? 'the reverse-path' : 'EHLO'}: ${spf.domain}`;
  return [
    { method: 'SPF', result: spf.result, details: [checked], reason: spf.reason },
    ...(dkim.length === 0 ? [{ method: 'DKIM', result: 'none', details: [] }] : dkim.map(signature)),
    {
      method: 'ARC',
      result: arc.result,
      details: arc.sets === 0 ? [] : [`${arc.sets} sets`, `the last by ${arc.sealer}`],
      reason: arc.reason,
    },
    { method: 'DMARC', result: dmarc.result, details: dmarcDetails(dmarc), reason: dmarc.reason },
  ];
}

function signature({ result, domain, selector, algorithm, aligned, reason }: DkimFound): AuthenticationResult {
  const tags = [domain && `d=${domain}`, selector && `s=${selector}`, algorithm && `a=${algorithm}`];
  const details = [...tags, aligned && 'aligned with the author'].filter((part) => typeof part === 'string');
  return { method: 'DKIM', result, details: details.filter((part) => part !== ''), reason };
}

function dmarcDetails({ from, record, policy, disposition, override }: DmarcFound): string[] {
  return [
    from && `of ${from}`,
    record && `record of ${record.domain}: p=${record.p}`,
    policy && `asks for ${policy}`,
    `done: ${disposition}`,
    override && `because of ${override.type}${override.comment === undefined ? '' : ` (${override.comment})`}`,
  ].filter((part): part is string => part !== undefined && part !== '');
}
