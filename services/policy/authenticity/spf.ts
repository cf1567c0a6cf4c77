import { spf } from 'mailauth/lib/spf/index.js';
import type { Lookup } from 'mailauth/lib/tools.js';
import { domainOf, localPartOf, normalizeDomain } from '#shared/address/address.ts';
import type { SpfFound } from '#shared/mail/authenticity.ts';
import { oneLine } from '#shared/text.ts';
import { reasonIn } from './dkim.ts';

type SpfQuestion = {
  client: { address: string; helo: string };
  /** Its address is not that of the host that sends. */
  gateway: boolean | undefined;
  /** It is in `authenticity.spf.exempt` (DOMINO I4). */
  spfExempt?: boolean;
  reversePath: string;
  hostname: string;
};

/** RFC 7208: may this client send for the domain of the reverse-path, or of its HELO where that is null (§2.4)? */
export async function checkSpf(
  { client, gateway, spfExempt, reversePath, hostname }: SpfQuestion,
  lookup: Lookup,
): Promise<SpfFound> {
  const scope = reversePath === '' ? 'helo' : 'mfrom';
  const domain = oneLine(normalizeDomain(reversePath === '' ? client.helo : domainOf(reversePath)), 254);
  if (gateway) return { result: 'none', scope, domain, reason: 'the mail came through a gateway' };
  if (spfExempt) return { result: 'none', scope, domain, reason: 'the host is exempt from SPF' };
  const { status } = await spf({
    // What is asked about is the domain that DMARC compares.
    sender: scope === 'helo' ? '' : `${localPartOf(reversePath)}@${domain}`,
    ...{ ip: client.address, helo: scope === 'helo' ? domain : client.helo, mta: hostname },
    ...{ resolver: lookup, strict: true },
  });
  const { result } = status;
  switch (result) {
    case 'pass':
    case 'fail':
    case 'softfail':
    case 'neutral':
    case 'none':
      return { result, scope, domain };
    case 'permerror':
      return { result, scope, domain, ...reasonIn(problemIn(status.comment)) };
    default:
      return { result: 'temperror', scope, domain, ...reasonIn(problemIn(status.comment)) };
  }
}

/** What mailauth puts at the end of its sentence about host and sender. */
function problemIn(comment: string | undefined): string | undefined {
  return comment?.match(/during lookup of .*?: (.*)$/s)?.[1] ?? comment;
}
