import type { DmarcReportsReply } from '#services/console/schemas/received.ts';
import { html } from '/vendor/preact.js';
import { Badge } from '../../kit/badge.ts';
import { Chart } from '../../kit/chart.ts';
import { countText, plural, shareText } from '../../kit/format.ts';
import { Card, Empty, Figure, Figures, shown } from '../../kit/layout.ts';
import { Table } from '../../kit/table.ts';
import { useData } from '../../state/data.ts';
import { DaysField, daysOf, Summary } from '../received/summary.ts';

/** What others report of mail that claims to be from our domains, by where it came from. */

type Source = DmarcReportsReply['sources'][number];

export function DmarcReports({ query }: { query: URLSearchParams }) {
  const days = daysOf(query);
  const loaded = useData<DmarcReportsReply>('authentication/dmarc', { days });
  return html`
    <div class="fields"><${DaysField} days=${days} /></div>
    ${shown(loaded, (reply) => html`<${Reports} reply=${reply} />`)}
  `;
}

function Reports({ reply }: { reply: DmarcReportsReply }) {
  const { reports, sources, more, total, days } = reply;
  const share = (part: number): string => shareText(total.messages === 0 ? undefined : part / total.messages);
  if (reports === 0) {
    return html`<${Summary} ...${reply} /><${Empty} title="No DMARC report about that time">
      Others send them where the DMARC record of a domain has <code>rua</code>, to an address of <code>authenticity.dmarc.reports.receive</code>.
    <//>`;
  }
  const failed = total.messages - total.passed;
  return html`
    <${Summary} ...${reply} />
    <${Figures}>
      <${Figure} label="Messages" value=${countText(total.messages)}>from ${plural(sources.length + more, 'address', 'addresses')}<//>
      <${Figure} label="Passed DMARC" value=${share(total.passed)}>${countText(total.passed)} of them<//>
      <${Figure} label="Failed DMARC" value=${countText(failed)} tone=${failed > 0 ? 'warn' : ''}>forged, or not signed<//>
      <${Figure} label="DKIM" value=${share(total.dkim)}>passed and aligned<//>
      <${Figure} label="SPF" value=${share(total.spf)}>passed and aligned<//>
      <${Figure} label="Refused" value=${countText(total.reject + total.quarantine)}>${countText(total.reject)} rejected, ${countText(total.quarantine)} quarantined<//>
    <//>
    <${Card} title="Messages per day">
      <${Chart} label="Messages per day that passed and failed DMARC" days times=${days.at} series=${[
        { name: 'passed', colour: 'green', values: days.passed, area: true },
        { name: 'failed', colour: 'red', values: days.failed },
      ]} />
    <//>
    <${Table} label="Sources" rows=${sources} columns=${COLUMNS} rowKey=${({ source }: Source) => source} card=${card} />
    ${more > 0 && html`<p class="soft">And ${plural(more, 'address', 'addresses')} more: <code>sealpost dmarc reports</code> lists all.</p>`}
  `;
}

const numeric = (title: string, of: (source: Source) => number, width = 6) => ({
  title,
  cell: (source: Source) => (of(source) === 0 ? html`<span class="soft">0</span>` : countText(of(source))),
  by: of,
  width,
  numeric: true,
});

const COLUMNS = [
  { title: 'Source', cell: ({ source }: Source) => source, by: ({ source }: Source) => source, width: 12 },
  { title: 'DMARC', cell: (source: Source) => html`<${Verdict} ...${source} />`, width: 10 },
  numeric('Messages', ({ messages }) => messages, 7),
  numeric('Failed', ({ messages, passed }) => messages - passed),
  numeric('DKIM', ({ dkim }) => dkim),
  numeric('SPF', ({ spf }) => spf),
  numeric('Quarantined', ({ quarantine }) => quarantine, 8),
  numeric('Rejected', ({ reject }) => reject, 7),
  { title: 'From', cell: ({ from }: Source) => from.join(', '), width: 14 },
];

function Verdict({ messages, passed }: Source) {
  if (passed === messages) return html`<${Badge} tone="good">all pass<//>`;
  return passed === 0 ? html`<${Badge} tone="bad">all fail<//>` : html`<${Badge} tone="warn">some fail<//>`;
}

const card = (source: Source) => html`
  <span class="card-line"><strong>${source.source}</strong><${Verdict} ...${source} /></span>
  <span class="card-line soft"><span>${source.messages} messages, DKIM ${source.dkim}, SPF ${source.spf}</span><span>${source.from.join(', ')}</span></span>
`;
