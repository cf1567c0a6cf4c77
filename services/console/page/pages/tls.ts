import { html } from '/vendor/preact.js';
import { PageHead, Tabs } from '../kit/layout.ts';
import type { PageProps } from '../state/router.ts';
import { useSession } from '../state/session.ts';
import { Certificates } from './tls/certificates.ts';
import { DomainLedger } from './tls/domain.ts';
import { Ledger } from './tls/ledger.ts';
import { TlsReports } from './tls/reports.ts';

/** TLS: the ledger at /tls, of one domain at /tls/domain/NAME; the certificates of the cluster at /tls/certificates, what others report at /tls/reports. */

const TABS = [
  ['/tls', 'Ledger'],
  ['/tls/certificates', 'Certificates'],
  ['/tls/reports', 'Reports received'],
] as const;

/** Shown only to those who see the whole cluster: hosts belong to no domain. */
const OF_CLUSTER = ['/tls/certificates'];

export default function Tls({ rest: [part = '', name], query }: PageProps) {
  const { domains } = useSession();
  if (part === 'domain' && name !== undefined) return html`<${DomainLedger} domain=${name} query=${query} />`;
  const tabs = domains === undefined ? TABS : TABS.filter(([href]) => !OF_CLUSTER.includes(href));
  return html`
    <${PageHead} title="TLS">How mail was protected on its way, and with which certificates.<//>
    <${Tabs} label="TLS" tabs=${tabs} current=${part === '' ? '/tls' : `/tls/${part}`} />
    ${part === '' && html`<${Ledger} query=${query} />`}
    ${part === 'certificates' && html`<${Certificates} />`}
    ${part === 'reports' && html`<${TlsReports} query=${query} />`}
  `;
}
