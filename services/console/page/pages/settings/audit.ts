import type { AuditReply } from '#services/console/schemas/settings.ts';
import { html } from '/vendor/preact.js';
import { Badge, Note } from '../../kit/badge.ts';
import { TextField } from '../../kit/form.ts';
import { Empty, shown } from '../../kit/layout.ts';
import { Table } from '../../kit/table.ts';
import { Moment, Time } from '../../kit/time.ts';
import { useData } from '../../state/data.ts';
import { type PageProps, setQuery } from '../../state/router.ts';

/** The audit log of the cluster: changes by the console and by the command line. */

type Entry = AuditReply['entries'][number];

export function Audit({ query }: Pick<PageProps, 'query'>) {
  const [by, about] = [query.get('by') ?? '', query.get('about') ?? ''];
  const audit = useData<AuditReply>('audit', { by, about, limit: 1000 }, 10_000);
  return html`
    <form class="fields" role="search" onSubmit=${(event: Event) => event.preventDefault()}>
      <${TextField} label="By" type="search" value=${by} onValue=${(value: string) => setQuery({ by: value })} placeholder="a person" />
      <${TextField} label="About" type="search" value=${about} onValue=${(value: string) => setQuery({ about: value })} placeholder="a domain or user" />
    </form>
    ${shown(
      audit,
      ({ entries, more, silent }) => html`
        ${silent.map(({ node, reason }) => html`<${Note} key=${node} tone="warn" title=${`What node ${node} alone has written down is not listed: ${reason}.`} />`)}
        <${Table} label="Changes" rows=${entries} columns=${COLUMNS} rowKey=${({ id }: Entry) => id} card=${card} total=${more ? -1 : entries.length}
          empty=${html`<${Empty} title="No changes">Nobody has changed anything that fits, for as long as the log is kept.<//>`} />
      `,
    )}
  `;
}

const change = ({ service, operation, times }: Entry): string =>
  `${service} ${operation}${times === undefined ? '' : ` (${times} times)`}`;

function Outcome({ outcome }: Pick<Entry, 'outcome'>) {
  return html`<${Badge} tone=${outcome === 'done' ? 'good' : 'warn'}>${outcome}<//>`;
}

const COLUMNS = [
  { title: 'When', cell: ({ at }: Entry) => html`<${Moment} at=${at} />`, by: ({ at }: Entry) => at, width: 11 },
  { title: 'By', cell: ({ by }: Entry) => by, by: ({ by }: Entry) => by, width: 13 },
  { title: 'Change', cell: change, by: change, width: 13 },
  { title: 'About', cell: ({ about }: Entry) => about, by: ({ about }: Entry) => about, width: 16 },
  { title: 'Outcome', cell: (entry: Entry) => html`<${Outcome} ...${entry} />`, width: 8 },
  { title: 'Node', cell: ({ node }: Entry) => node, by: ({ node }: Entry) => node, width: 7 },
];

const card = (entry: Entry) => html`
  <span class="card-line"><strong>${change(entry)}</strong> <${Outcome} ...${entry} /></span>
  <span class="card-line soft"><span>${entry.about} · ${entry.by}</span> <${Time} at=${entry.at} /></span>
`;
