import type { Authenticity, DmarcFound } from '#shared/mail/authenticity.ts';
import { fieldValue, type HeaderField } from '#shared/mail/header.ts';
import type { SessionFacts } from '../../contract.ts';
import { namedBy } from '../../relay/host-list.ts';
import type { IncomingRules } from './incoming-rules.ts';

/** Why something else is done than the author's domain asks for, as reports say it (RFC 9990 §3.1.1.10). */
export type Override = NonNullable<DmarcFound['override']>;
export type Excuse = { type: Override['type']; comment: string };

type Given = {
  session: Pick<SessionFacts, 'client' | 'gateway'>;
  incoming: IncomingRules;
  fields: ReadonlyMap<string, HeaderField[]>;
};

/**
 * Why it counts for nothing that a message fails SPF, DKIM or DMARC: it came by way of somebody who forwards, and changes
 * what is signed, and whom the administrator trusts.
 *
 * - A mailing list of `dmarc.mailing-lists`: the client is one of these hosts, or the message passes SPF or DKIM for one of
 *   these domains, with a signature of the whole body: behind a part of it anybody could write.
 * - An ARC chain that passes, whose newest seal is of `dmarc.arc-sealers` (DOMINO I8). Not where the sealer says that DMARC
 *   failed when the message came to it (RFC 8617 §7.2.1).
 */
export function excuseFor({ spf, dkim, arc }: Authenticity, { session, incoming, fields }: Given): Excuse | undefined {
  const { mailingLists } = incoming;
  const domains = [
    ...(spf.result === 'pass' ? [spf.domain] : []),
    ...dkim.flatMap(({ result, domain, partial }) =>
      result === 'pass' && !partial && domain !== undefined ? [domain] : [],
    ),
  ];
  const list = namedBy(mailingLists, session) ?? first(domains, (domain) => mailingLists.match(undefined, domain));
  if (list !== undefined) return { type: 'mailing_list', comment: `dmarc.mailing-lists has ${list}` };
  if (arc.result !== 'pass' || arc.sealer === undefined) return undefined;
  const sealer = incoming.arcSealers.match(arc.sealer);
  if (sealer === undefined || failedThere(fields.get('arc-authentication-results') ?? [], arc.sets)) return undefined;
  // The form of RFC 8617 §7.2.2, as far as it is known here.
  return { type: 'trusted_forwarder', comment: `arc=pass as[${arc.sets}].d=${arc.sealer}` };
}

/** Whether the newest ARC-Authentication-Results (RFC 8617 §4.1.1) says that DMARC failed. */
function failedThere(results: readonly HeaderField[], newest: number): boolean {
  const values = results.map((field) => withoutComments(fieldValue(field)));
  const last = values.find((value) => Number(/^\s*i\s*=\s*(\d+)\s*;/i.exec(value)?.[1]) === newest);
  return /;\s*dmarc\s*=\s*fail\b/i.test(last ?? '');
}

/** Comments, the innermost first; not those in quotes, which no method and no result stands in. */
function withoutComments(value: string): string {
  let text = value.replace(/"[^"]*"/g, '""');
  for (let deep = 0; deep < 5 && text.includes('('); deep++) text = text.replace(/\([^()]*\)/g, ' ');
  return text;
}

function first<T, R>(items: readonly T[], find: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}
