import type { DmarcResponse } from 'mailauth/lib/dmarc/verify.js';
import { evaluateDmarc } from 'mailauth/lib/dmarc/verify.js';
import type { Lookup } from 'mailauth/lib/tools.js';
import { isSameOrSubdomain } from '#shared/address/address.ts';
import type { DkimFound, DmarcFound, SpfFound } from '#shared/mail/authenticity.ts';
import { cut } from '#shared/text.ts';
import type { Author } from './author.ts';
import { reasonIn, type Signed } from './dkim.ts';

type Disposition = DmarcFound['disposition'];
type Identities = {
  spf: SpfFound;
  /** SPF was not asked about the client, which is not the host that sends. */
  spfUnasked?: boolean;
  signed: readonly Signed[];
};

/**
 * DMARC (RFC 9989), given what SPF and DKIM found. What is done about it is for the checks to say.
 *
 * A signature with l= that leaves a part of the body to whoever passes it on says nothing about the message as it is read:
 * it does not count (RFC 6376 §8.2). Where an identity of the author's domain could not be checked for want of an answer, a
 * failure is not certain: `temperror`. So it is where SPF was not asked at all, and then the domain asks for nothing: the mail
 * would be the same whenever it came.
 */
export async function checkDmarc(
  author: Author,
  { spf, spfUnasked = false, signed }: Identities,
  lookup: Lookup,
): Promise<{ dmarc: DmarcFound; dkim: DkimFound[] }> {
  const dkim = signed.map(({ found }) => found);
  const nothing = { dkimAligned: false, spfAligned: false, disposition: 'none' as const };
  if (author.problem !== undefined)
    return { dkim, dmarc: { result: 'permerror', ...nothing, ...reasonIn(author.problem) } };
  const passed = signed.filter(({ found, unsigned }) => found.result === 'pass' && unsigned === 0);
  const { response, dkimAligned, reason } = await evaluateDmarc({
    // One address stands for all, which are of this domain.
    ...{ headerFrom: [`author@${author.domain}`], fromFields: 1, resolver: lookup, strict: true },
    spfDomains: spf.result === 'pass' ? [spf.domain] : [],
    dkimDomains: passed.flatMap(({ found: { domain } }) => (domain === undefined ? [] : { domain })),
  });
  if (!response) return { dkim, dmarc: { result: 'permerror', ...nothing, ...reasonIn(reason) } };
  const from = author.domain;
  const record = recordOf(response);
  const spfAligned = response.alignment?.spf.result !== undefined;
  const aligned = (domain: string | undefined, isStrict: boolean): boolean =>
    domain !== undefined && (domain === from || (!isStrict && isSameOrSubdomain(domain, response.domain ?? from)));
  const isStrict = record?.adkim === 's';
  const withAligned = signed.map(({ found, unsigned }) => ({
    ...found,
    aligned:
      found.result === 'pass' && unsigned === 0 && record !== undefined
        ? dkimAligned?.has(found.domain ?? '') === true
        : aligned(found.domain, isStrict),
  }));
  const bySpf = aligned(spf.domain, record?.aspf === 's');
  const isUnasked = spfUnasked && bySpf && response.status.result === 'fail';
  const unsure =
    (spf.result === 'temperror' && bySpf) || withAligned.some((found) => found.result === 'temperror' && found.aligned);
  const dmarc: DmarcFound = {
    ...(isUnasked ? UNASKED : resultOf(response, unsure)),
    from,
    ...(record === undefined ? {} : { record }),
    ...(record === undefined || isUnasked ? {} : { policy: disposition(response.policy) }),
    dkimAligned: response.alignment?.dkim.result !== undefined,
    spfAligned,
    disposition: 'none',
  };
  return { dkim: withAligned, dmarc };
}

const UNASKED = { result: 'temperror', reason: 'SPF was not asked about the client' } as const;

function resultOf({ status, error }: DmarcResponse, unsure: boolean): Pick<DmarcFound, 'result' | 'reason'> {
  switch (status.result) {
    case 'pass':
    case 'none':
      return { result: status.result };
    case 'fail':
      return unsure
        ? { result: 'temperror', reason: 'DNS did not say whether SPF or a signature of the domain passes' }
        : { result: 'fail' };
    default:
      return { result: 'temperror', ...reasonIn(error) };
  }
}

function recordOf({
  record,
  policyDomain,
  p,
  sp,
  np,
  testMode,
  alignment,
  status,
}: DmarcResponse): DmarcFound['record'] {
  if (record === undefined || policyDomain === undefined || status.result === 'none') return undefined;
  const { rua, ruf, fo, psd, sp: published } = record;
  const text = (value: unknown, longest: number) => (typeof value === 'string' ? cut(value, longest - 1) : undefined);
  return {
    domain: policyDomain,
    p: disposition(p),
    sp: published === undefined ? undefined : disposition(sp),
    np: np === undefined ? undefined : disposition(np),
    adkim: alignment?.dkim.strict ? 's' : 'r',
    aspf: alignment?.spf.strict ? 's' : 'r',
    testing: testMode === true,
    rua: text(rua, 2000),
    // RFC 9991 §2: a public suffix hears of no message of the domains below it.
    ruf: psd === 'y' ? undefined : text(ruf, 2000),
    fo: text(fo, 20),
  };
}

function disposition(word: string | undefined): Disposition {
  return word === 'reject' || word === 'quarantine' ? word : 'none';
}
