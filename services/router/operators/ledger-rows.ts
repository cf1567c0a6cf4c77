import { domainOf, isSameOrSubdomain, normalizeDomain } from '#shared/address/address.ts';
import type { Origin, Outcome } from '#shared/mail/envelope.ts';
import type { ClientCertificate, TlsLevel } from '#shared/mail/tls.ts';
import type { LedgerRow, LedgerSelection } from '#shared/mail/tls-ledger.ts';
import { cut } from '#shared/text.ts';
import type { RecipientRecord } from '../store/records.ts';

/** The rows of the TLS ledger that one message makes (shared/mail/tls-ledger.ts). */

/** A message in the queue, or the receipt of one that left. */
export type Recorded = {
  id: string;
  reversePath: string;
  arrived: number;
  origin: Origin;
  recipients: readonly RecipientRecord[];
};

/** A row crosses the bus with many others. */
const LONGEST_WORDS = 300;

/** Those that are selected, in an order that stays the same. */
export function rowsOf(message: Recorded, node: string, selection: LedgerSelection): LedgerRow[] {
  const { direction } = selection;
  const all = [
    ...(direction === 'out' ? [] : incomingRow(message, node)),
    ...(direction === 'in' ? [] : outgoingRows(message, node)),
  ];
  const domain = selection.domain === undefined ? undefined : normalizeDomain(selection.domain);
  return all.filter(
    (row) =>
      row.at >= (selection.since ?? 0) && (domain === undefined || isOf(row, message.origin.client.name, domain)),
  );
}

function isOf({ direction, domain }: LedgerRow, client: string | null, wanted: string): boolean {
  const byName = direction === 'in' && client !== null && isSameOrSubdomain(normalizeDomain(client), wanted);
  return byName || isSameOrSubdomain(domain, wanted);
}

/** Our own notices came from nobody. */
function incomingRow({ id, reversePath, arrived, origin, recipients }: Recorded, node: string): LedgerRow[] {
  if (origin.kind === 'internal') return [];
  const { client, tls, user, listener } = origin;
  const { certificate } = tls ?? {};
  return [
    {
      ...{ direction: 'in', at: arrived, node, queueId: id, state: 'received' },
      domain: reversePath === '' ? '' : normalizeDomain(domainOf(reversePath)),
      peer: client.name === null ? `[${client.address}]` : `${client.name} [${client.address}]`,
      ...{ helo: client.helo, listener, ...(user !== undefined && { user }) },
      recipients: recipients.length,
      reached: tls === undefined ? 'clear' : certificate?.verified ? 'verified' : 'encrypted',
      ...(tls && { protocol: tls.protocol, cipher: tls.cipher }),
      ...(certificate && { certificate: shownBy(certificate) }),
    },
  ];
}

function shownBy({ subject, fingerprint, verified, expires, problem }: ClientCertificate): LedgerRow['certificate'] {
  return { subject, fingerprint, chain: verified, expires, ...(problem !== undefined && { problem }) };
}

/** One for each domain, peer, state and protection: recipients that went the same way are counted together. */
function outgoingRows({ id, recipients }: Recorded, node: string): LedgerRow[] {
  const rows = new Map<string, LedgerRow>();
  for (const recipient of recipients) {
    const row = outgoingRow(recipient, { node, queueId: id });
    if (row === undefined) continue;
    const { at: _, ...rest } = row;
    const key = JSON.stringify(rest);
    const known = rows.get(key);
    if (known === undefined) rows.set(key, row);
    else {
      known.recipients++;
      known.at = Math.max(known.at, row.at);
    }
  }
  return [...rows.values()];
}

/** Undefined where no connection to another machine was had, nor tried for its TLS. */
function outgoingRow(
  { recipient, status, nextHop = '' }: RecipientRecord,
  where: Pick<LedgerRow, 'node' | 'queueId'>,
): LedgerRow | undefined {
  if (status.state === 'waiting') return undefined;
  const { outcome, state } = status;
  const { host, tls, protection, at } = outcome;
  const isRemote = /^(?:mx:|smtps?:|lmtp:)/.test(nextHop) && state === 'delivered';
  if (protection === undefined && tls === undefined && !isRemote) return undefined;
  const { wanted, by, certificate, why } = protection ?? {};
  return {
    ...{ direction: 'out', at, ...where, state },
    ...{ domain: normalizeDomain(domainOf(recipient.address)), peer: host ?? nextHop, recipients: 1 },
    ...(wanted !== undefined && { wanted }),
    ...(by !== undefined && { by }),
    reached: protection?.reached ?? reachedBefore(tls),
    ...(tls && { protocol: tls.protocol, cipher: tls.cipher }),
    ...(certificate && { certificate: { ...certificate, ...shortened('problem', certificate.problem) } }),
    ...shortened('why', why),
  };
}

/** Of an outcome that has no protection: it was written before that was noted. */
function reachedBefore(tls: Outcome['tls']): TlsLevel {
  if (tls === undefined) return 'clear';
  return tls.verified === undefined ? 'encrypted' : 'verified';
}

function shortened<Name extends string>(name: Name, text: string | undefined): { [N in Name]?: string } {
  return (text === undefined ? {} : { [name]: cut(text, LONGEST_WORDS) }) as { [N in Name]?: string };
}
