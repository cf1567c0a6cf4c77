import type { TlsReportsReply } from '#services/console/schemas/received.ts';
import { html } from '/vendor/preact.js';
import { Badge } from '../../kit/badge.ts';
import { countText, listText, shareText } from '../../kit/format.ts';
import { Card, Empty, shown } from '../../kit/layout.ts';
import { useData } from '../../state/data.ts';
import { DaysField, daysOf, Summary } from '../received/summary.ts';

/** What others report of TLS with our mail exchangers: under which policy it came about, and how it failed. */

type Policy = TlsReportsReply['policies'][number];

export function TlsReports({ query }: { query: URLSearchParams }) {
  const days = daysOf(query);
  const loaded = useData<TlsReportsReply>('tls/reports', { days });
  return html`
    <div class="fields"><${DaysField} days=${days} /></div>
    ${shown(
      loaded,
      (reply) => html`
        <${Summary} ...${reply} />
        ${reply.policies.slice(0, MOST).map((policy) => html`<${OnePolicy} key=${`${policy.domain} ${policy.policy}`} ...${policy} />`)}
        <${More} count=${reply.policies.length} />
        ${reply.reports === 0 && html`<${Empty} title="No TLS report about that time">Others send them where the domain has a record of TLS-RPT, to an address of <code>delivery.tls-reports.receive</code>: <code>sealpost tls publish</code> prints it.<//>`}
      `,
    )}
  `;
}

/** Of policies, and of failures of one: anybody can write a report of many. */
const MOST = 50;

/** What is left out. */
function More({ count }: { count: number }) {
  return (
    count > MOST &&
    html`<p class="soft">And ${countText(count - MOST)} more: <code>sealpost tls reports</code> lists all.</p>`
  );
}

const POLICIES: Record<string, string> = {
  sts: 'MTA-STS',
  tlsa: 'DANE',
  'no-policy-found': 'no policy',
};

function OnePolicy({ domain, policy, succeeded, failed, failures, reporters }: Policy) {
  const all = succeeded + failed;
  const title = `${domain}, ${POLICIES[policy] ?? policy}`;
  return html`<${Card} title=${title}>
    <p>
      <${Badge} tone=${failed === 0 ? 'good' : 'bad'}>${failed === 0 ? 'no failure' : `${countText(failed)} failed`}<//>${' '}
      ${countText(all)} sessions, ${shareText(all === 0 ? undefined : succeeded / all)} succeeded; reported by ${reporters.length > 5 ? `${reporters.length} organisations` : listText(reporters)}.
    </p>
    ${failures.length > 0 && html`<${Failures} label=${`Failures of ${title}`} failures=${failures} />`}
  <//>`;
}

function Failures({ label, failures }: { label: string; failures: Policy['failures'] }) {
  return html`<div class="plain-table" role="region" aria-label=${label} tabindex="0"><table>
    <caption class="unseen">${label}</caption>
    <thead><tr><th scope="col">Failure</th><th scope="col">Host</th><th scope="col" class="numeric">Sessions</th><th scope="col">Reported by</th></tr></thead>
    <tbody>
      ${failures.slice(0, MOST).map(
        ({ type, host = '–', count, reporters }) => html`<tr key=${`${type} ${host}`}>
          <th scope="row">${type}</th>
          <td>${host}</td>
          <td class="numeric figure">${countText(count)}</td>
          <td>${reporters.length > 5 ? `${reporters.length} organisations` : listText(reporters)}</td>
        </tr>`,
      )}
    </tbody>
  </table></div><${More} count=${failures.length} />`;
}
