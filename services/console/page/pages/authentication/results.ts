import type { ResultsReply } from '#services/console/schemas/authentication.ts';
import { html } from '/vendor/preact.js';
import { Badge, Note } from '../../kit/badge.ts';
import { Choice } from '../../kit/form.ts';
import { countText, plural, shareText } from '../../kit/format.ts';
import { Empty, Figure, Figures, shown } from '../../kit/layout.ts';
import { HoursField, hoursOf, setHours } from '../../kit/span.ts';
import { Table } from '../../kit/table.ts';
import { Time } from '../../kit/time.ts';
import { segment } from '../../state/api.ts';
import { useData } from '../../state/data.ts';
import { setQuery } from '../../state/router.ts';

/** What was found out about the mail that came: by the domain that it claims to be from, or by where it came from. */

type Row = ResultsReply['rows'][number];
type By = 'domain' | 'source';

const GROUPS = [
  ['domain', 'By domain'],
  ['source', 'By client'],
] as const;

export function Results({ query }: { query: URLSearchParams }) {
  const hours = hoursOf(query);
  const by: By = query.get('by') === 'source' ? 'source' : 'domain';
  const [domain, source] = [query.get('domain') ?? undefined, query.get('source') ?? undefined];
  const loaded = useData<ResultsReply>('authentication/results', { hours, by, domain, source });
  return html`
    <div class="fields">
      <${Choice} label="Rows" value=${by} options=${GROUPS}
        onValue=${(value: By) => setQuery({ by: value === 'source' ? value : undefined, domain: undefined, source: undefined })} />
      <${HoursField} hours=${hours} />
    </div>
    <${Narrowed} by=${by} name=${domain ?? source} hours=${hours} />
    ${shown(loaded, (reply) => html`<${Totals} reply=${reply} by=${by} hours=${hours} />`)}
  `;
}

/** The address of one group: of a domain its clients, of a client its domains. */
function hrefOf(by: By, hours: string, name?: string): string {
  const other = by === 'domain' ? 'source' : 'domain';
  const query = new URLSearchParams(name === undefined ? {} : { [by]: name });
  if ((name === undefined ? by : other) === 'source') query.set('by', 'source');
  setHours(query, hours);
  return `/authentication/results${query.size === 0 ? '' : `?${query}`}`;
}

/** Where only one domain or client is shown. */
function Narrowed({ by, name, hours }: { by: By; name: string | undefined; hours: string }) {
  if (name === undefined) return undefined;
  const isDomain = by === 'source';
  return html`<p class="break">
    Only mail ${isDomain ? 'in the name of' : 'that was brought by'} <strong>${name}</strong>.${' '}
    <a href=${hrefOf(isDomain ? 'domain' : 'source', hours)}>All ${isDomain ? 'domains' : 'clients'}</a>${' '}
    ${isDomain && html`<a href=${`/messages?q=${segment(name)}`}>Its messages</a>`}
  </p>`;
}

function Totals({ reply, by, hours }: { reply: ResultsReply; by: By; hours: string }) {
  const { rows, more, silent, since, unreadable } = reply;
  return html`
    ${silent.map(
      ({ node, error }) => html`<${Note} key=${node} tone="warn" title=${`Without the mail of ${node}.`}>${error}<//>`,
    )}
    ${
      since !== undefined &&
      html`<${Note} tone="info" title=${html`Only mail that came <${Time} at=${since} /> or later was looked at.`}>
        There is more of it than can be read while you wait: choose a shorter time.
      <//>`
    }
    ${unreadable > 0 && html`<${Note} tone="warn" title=${`${plural(unreadable, 'damaged record')} could not be counted.`}><code>sealpost doctor</code> says where they are.<//>`}
    <${Sums} sum=${reply.sum} />
    <${Table} key=${by} label=${by === 'domain' ? 'Domains' : 'Clients'} rows=${rows} columns=${columnsOf(by)} rowKey=${({ name }: Row) => name}
      href=${({ name }: Row) => hrefOf(by, hours, name)} card=${card} empty=${EMPTY} />
    ${more > 0 && html`<p class="soft">And ${countText(more)} more, with less mail that fails: choose a shorter time.</p>`}
  `;
}

const EMPTY = html`<${Empty} title="No mail from elsewhere in that time">
  What other servers bring is checked and counted here once it is accepted; mail of users and of your own hosts is not.
<//>`;

function Sums({ sum }: Pick<ResultsReply, 'sum'>) {
  const { messages, dmarcPass, dmarcFail, dkimPass, spfPass, quarantine } = sum;
  const share = (part: number): string => shareText(messages === 0 ? undefined : part / messages);
  return html`<${Figures}>
    <${Figure} label="Messages" value=${countText(messages)}>from elsewhere, accepted<//>
    <${Figure} label="Passed DMARC" value=${share(dmarcPass)}>${countText(dmarcPass)} of them<//>
    <${Figure} label="Failed DMARC" value=${countText(dmarcFail)} tone=${dmarcFail > 0 ? 'warn' : ''}>and accepted all the same<//>
    <${Figure} label="DKIM" value=${share(dkimPass)}>a signature passed<//>
    <${Figure} label="SPF" value=${share(spfPass)}>passed<//>
    <${Figure} label="Quarantined" value=${countText(quarantine)}>marked as junk<//>
  <//>`;
}

const numeric = (title: string, of: (row: Row) => number, width = 6) => ({
  title,
  cell: (row: Row) => (of(row) === 0 ? html`<span class="soft">0</span>` : countText(of(row))),
  by: of,
  width,
  numeric: true,
});

/** Failed of those with a result: `0 / 12`. */
const pair = (title: string, passOf: (row: Row) => number, failOf: (row: Row) => number) => ({
  title,
  cell: (row: Row) => `${countText(passOf(row))} / ${countText(failOf(row))}`,
  by: failOf,
  width: 8,
  numeric: true,
});

const columnsOf = (by: By) => [
  {
    title: by === 'domain' ? 'Domain' : 'Client',
    cell: ({ name }: Row) => name || '(none)',
    by: ({ name }: Row) => name,
  },
  { title: 'DMARC', cell: (row: Row) => html`<${Verdict} ...${row} />`, width: 8 },
  numeric('Messages', ({ messages }) => messages, 7),
  pair(
    'Pass / fail',
    ({ dmarcPass }) => dmarcPass,
    ({ dmarcFail }) => dmarcFail,
  ),
  pair(
    'DKIM',
    ({ dkimPass }) => dkimPass,
    ({ dkimFail }) => dkimFail,
  ),
  pair(
    'SPF',
    ({ spfPass }) => spfPass,
    ({ spfFail }) => spfFail,
  ),
  numeric('Quarantined', ({ quarantine }) => quarantine, 8),
  {
    title: by === 'domain' ? 'Clients' : 'Domains',
    cell: ({ others, other }: Row) => other ?? countText(others),
    by: ({ others }: Row) => others,
    width: 11,
  },
  { title: 'Last', cell: ({ last }: Row) => html`<${Time} at=${last} />`, by: ({ last }: Row) => last, width: 7 },
];

function Verdict({ messages, dmarcPass, dmarcFail }: Row) {
  if (dmarcPass === messages) return html`<${Badge} tone="good">all pass<//>`;
  if (dmarcFail === messages) return html`<${Badge} tone="bad">all fail<//>`;
  return dmarcFail > 0 ? html`<${Badge} tone="warn">some fail<//>` : html`<${Badge} tone="idle">no record<//>`;
}

const card = (row: Row) => html`
  <span class="card-line"><strong>${row.name || '(none)'}</strong><${Verdict} ...${row} /></span>
  <span class="card-line soft"><span>${plural(row.messages, 'message')}, DKIM ${row.dkimPass}, SPF ${row.spfPass}</span><${Time} at=${row.last} /></span>
`;
