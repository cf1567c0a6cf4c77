import type { FoundRow, MailState } from '#services/console/schemas/messages.ts';
import { html, useEffect, useMemo, useState } from '/vendor/preact.js';
import { Note } from '../../kit/badge.ts';
import { Choice, SelectField, TextField } from '../../kit/form.ts';
import { countText, listText, momentText } from '../../kit/format.ts';
import { Icon } from '../../kit/icon.ts';
import { Empty, PageHead, Problem } from '../../kit/layout.ts';
import { type Column, Table } from '../../kit/table.ts';
import { Time } from '../../kit/time.ts';
import { segment } from '../../state/api.ts';
import type { PageProps } from '../../state/router.ts';
import { setQuery } from '../../state/router.ts';
import { mayChange, useSession } from '../../state/session.ts';
import { RefusalDialog } from './refusal.ts';
import { type Found, useSearch } from './search.ts';
import { SelectionBar } from './selection.ts';
import { MailBadge, senderText } from './states.ts';
import { SPANS, type Span, spanOf } from './times.ts';

/** The search, and what it finds. All of it is in the address, so that it can be sent to a colleague. */

const STATES = [
  ['', 'All'],
  ['waiting', 'Waiting'],
  ['held', 'Held'],
  ['delivered', 'Delivered'],
  ['failed', 'Failed'],
  ['refused', 'Refused'],
] as const satisfies (readonly [MailState | '', string])[];

export function MessageList({ query }: Pick<PageProps, 'query'>) {
  // Of one search: its beginning must not move while somebody reads on.
  const { since, until } = useMemo(() => spanOf(query), [query.toString()]);
  const word = (name: string): string | undefined => query.get(name) ?? undefined;
  const found = useSearch({ q: word('q'), to: word('to'), state: word('state'), since, until });
  return html`
    <${PageHead} title="Messages" actions=${html`<button type="button" onClick=${() => void found.reload()}>
      <${Icon} name="refresh" />Search again
    </button>`}>
      Mail of all nodes, newest first: what waits, what has left, and what was refused at the door.
    <//>
    <${SearchForm} query=${query} />
    ${found.problem && html`<${Problem} problem=${found.problem} retry=${found.reload} />`}
    <${Missing} ...${found} />
    <${Rows} found=${found} query=${query} />
  `;
}

function SearchForm({ query }: Pick<PageProps, 'query'>) {
  const asked = query.get('q') ?? '';
  const [text, setText] = useState(asked);
  useEffect(() => setText(asked), [asked]);
  const search = (event: Event): void => {
    event.preventDefault();
    setQuery({ q: text.trim() });
  };
  const to = query.get('to');
  return html`<form class="mail-search" role="search" onSubmit=${search}>
    <div class="fields">
      <div class="search-text">
        <${TextField} label="Search" type="search" value=${text} onValue=${setText}
          placeholder="address, domain, Message-ID, queue id, or a client’s IP address" />
        <button type="submit" class="primary"><${Icon} name="search" />Search</button>
      </div>
      <${SelectField} label="Time" value=${query.get('time') ?? ''} options=${SPANS}
        onValue=${(time: Span) => setQuery({ time, begin: undefined, end: undefined })} />
    </div>
    ${query.get('time') === 'between' && html`<${Between} query=${query} />`}
    <div class="search-states">
      <${Choice} label="State" value=${query.get('state') ?? ''} options=${STATES} onValue=${(state: string) => setQuery({ state })} />
      ${to && html`<button type="button" class="small" onClick=${() => setQuery({ to: undefined })}>To ${to}<${Icon} name="close" /><span class="unseen">, show mail to everybody</span></button>`}
    </div>
  </form>`;
}

function Between({ query }: Pick<PageProps, 'query'>) {
  const field = (name: 'begin' | 'end', label: string): unknown =>
    html`<${TextField} label=${label} type="datetime-local" value=${query.get(name) ?? ''} onValue=${(value: string) => setQuery({ [name]: value })} />`;
  return html`<div class="fields">${field('begin', 'From')}${field('end', 'Until')}</div>`;
}

/** What the list lacks, so that nobody takes silence for an answer. */
function Missing({ silent, unreadable }: Found) {
  return html`
    ${
      silent.length > 0 &&
      html`<${Note} tone="warn" title=${`The mail of ${listText(silent.map(({ node }) => node))} is missing here`}>
      ${silent.map(({ node, error }) => html`<div key=${node}>${node}: ${error}</div>`)}
    <//>`
    }
    ${unreadable > 0 && html`<${Note} tone="warn" title=${`${countText(unreadable)} damaged records are left out`}>"sealpost status" names what was damaged.<//>`}
  `;
}

type RowsProps = { found: Found; query: PageProps['query'] };

function Rows({ found, query }: RowsProps) {
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [refusal, setRefusal] = useState<FoundRow | undefined>(undefined);
  const canChange = mayChange(useSession());
  const asked = query.toString();
  useEffect(() => setSelected(new Set()), [asked]);
  const chosen = useMemo(() => found.rows.filter(({ key }) => selected.has(key)), [found.rows, selected]);
  const columns = useMemo(
    () => columnsOf({ canChange, rows: found.rows, selected, setSelected, setRefusal }),
    [canChange, found.rows, selected],
  );
  const { rows, loading, more, reached } = found;
  return html`
    ${
      canChange &&
      html`<${SelectionBar} rows=${chosen} clear=${() => setSelected(new Set())} after=${() => {
        setSelected(new Set());
        void found.reload();
      }} />`
    }
    <div class="mail-list" aria-busy=${loading}>
      <${Table} label="Messages" rows=${rows} columns=${columns} total=${more ? -1 : rows.length}
        rowKey=${({ key }: FoundRow) => key} href=${hrefOf} card=${(row: FoundRow) => html`<${CardRow} row=${row} show=${setRefusal} />`}
        onEnd=${found.readMore} empty=${!loading && !more && found.problem === undefined ? html`<${Nothing} query=${query} />` : undefined} />
      <p class="soft list-foot" role="status">
        ${footText({ count: rows.length, loading, more, reached })}
        ${more && !loading && html` <button type="button" class="small" onClick=${found.readMore}>More</button>`}
      </p>
    </div>
    ${refusal && html`<${RefusalDialog} row=${refusal} onClose=${() => setRefusal(undefined)} />`}
  `;
}

const hrefOf = ({ id, state }: FoundRow): string | undefined =>
  id === undefined || state === 'refused' ? undefined : `/messages/${segment(id)}`;

function footText({
  count,
  loading,
  more,
  reached,
}: {
  count: number;
  loading: boolean;
  more: boolean;
  reached: number | undefined;
}): string {
  const found = count === 0 ? '' : `${countText(count)} found`;
  if (loading)
    return count === 0 && reached === undefined
      ? 'Searching …'
      : `${found}${found && ', '}searching mail before ${momentText(reached ?? Date.now())} …`;
  return more ? `${found}${found && ', '}and there is older mail.` : count === 0 ? '' : `${found}.`;
}

function Nothing({ query }: Pick<PageProps, 'query'>) {
  const filtered = ['q', 'to', 'state', 'time'].some((name) => query.get(name));
  return filtered
    ? html`<${Empty} title="No mail fits this search.">
        Receipts of mail that has left are kept for as long as receipts.keep says, refusals for a day.
        <span> <a href="/messages">Show all mail</a></span>
      <//>`
    : html`<${Empty} title="There is no mail yet."><a href="/try">Send a test message</a> and see every step of it.<//>`;
}

type ColumnsProps = {
  canChange: boolean;
  rows: readonly FoundRow[];
  selected: ReadonlySet<string>;
  setSelected: (keys: ReadonlySet<string>) => void;
  setRefusal: (row: FoundRow) => void;
};

/** Only mail of a queue can be changed. */
const isOpen = ({ state }: FoundRow): boolean => state === 'waiting' || state === 'held';

/** As many as one request names. */
const MOST_SELECTED = 500;

function columnsOf({ canChange, rows, selected, setSelected, setRefusal }: ColumnsProps): Column<FoundRow>[] {
  const toggle = (key: string): void => {
    const next = new Set(selected);
    if (!next.delete(key)) next.add(key);
    setSelected(next);
  };
  const open = rows.filter(isOpen).slice(0, MOST_SELECTED);
  const all = open.length > 0 && open.every(({ key }) => selected.has(key));
  const select: Column<FoundRow> = {
    title: 'Selected',
    width: 2.5,
    control: true,
    head: html`<input type="checkbox" aria-label="Select all that wait or are held" checked=${all} disabled=${open.length === 0}
      onChange=${() => setSelected(new Set(all ? [] : open.map(({ key }) => key)))} />`,
    cell: (row) =>
      isOpen(row) &&
      html`<input type="checkbox" aria-label=${`Select message ${row.id ?? ''}`} checked=${selected.has(row.key)} onChange=${() => toggle(row.key)} />`,
  };
  return [
    ...(canChange && open.length > 0 ? [select] : []),
    {
      title: 'Arrived',
      width: 8.5,
      cell: (row) =>
        row.refusal === undefined
          ? html`<${Time} at=${row.at} />`
          : html`<button type="button" class="row-button" onClick=${() => setRefusal(row)}><${Time} at=${row.at} /></button>`,
    },
    { title: 'From', width: 13, cell: ({ from }) => senderText(from) },
    { title: 'To', width: 13, cell: toText },
    { title: 'State', width: 7.5, cell: ({ state }) => html`<${MailBadge} state=${state} />` },
    {
      title: 'Last reply',
      cell: ({ reply }) => reply ?? '',
    },
    { title: 'Node', width: 6.5, cell: ({ node }) => node },
  ];
}

const toText = ({ to, others }: FoundRow): string =>
  `${to ?? '–'}${others > 0 ? ` and ${countText(others)} more` : ''}`;

function CardRow({ row, show }: { row: FoundRow; show: (row: FoundRow) => void }) {
  const content = html`
    <span class="card-line"><span>${toText(row)}</span><${MailBadge} state=${row.state} /></span>
    <span class="card-line soft"><span>from ${senderText(row.from)}</span><${Time} at=${row.at} /></span>
  `;
  return row.refusal === undefined
    ? content
    : html`<button type="button" class="row-button" onClick=${() => show(row)}>${content}</button>`;
}
