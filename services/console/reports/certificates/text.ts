import type { CertificateStatus } from '#shared/tls/certificate-status.ts';
import { formatDuration } from '#shared/units.ts';

/** Certificates of the cluster in words. */

/** Why a certificate is renewed at its time. */
const WHY = {
  authority: ', as the authority suggests',
  latest: ', before the authority suggests, which is too late',
  life: ', after two thirds of its life',
  unknown: '',
};

/** What comes next of a certificate; `-` where that is for an administrator to do. */
export function renewalText({ renewal, deleted }: CertificateStatus, now: number): string {
  if (deleted) return 'deleted, when its TXT records are out of DNS';
  if (renewal === undefined) return '-';
  const { at, why, ordering, asked, problem } = renewal;
  if (ordering !== undefined) return `${ordering} orders it`;
  if (asked !== undefined) return 'is ordered soon';
  if (problem !== undefined) return `failed, again in ${formatDuration(Math.max(0, problem.next - now))}`;
  return at === undefined || at <= now
    ? 'is ordered soon'
    : `renewed in ${formatDuration(at - now)}${WHY[why ?? 'unknown']}`;
}
