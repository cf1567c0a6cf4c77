import type { LedgerRowsReply } from '#services/console/schemas/tls.ts';
import { html } from '/vendor/preact.js';
import { Badge, type Tone } from '../../kit/badge.ts';
import { CheckField } from '../../kit/form.ts';
import { Empty, PageHead, shown } from '../../kit/layout.ts';
import { Table } from '../../kit/table.ts';
import { Time } from '../../kit/time.ts';
import { segment } from '../../state/api.ts';
import { useData } from '../../state/data.ts';
import { setQuery } from '../../state/router.ts';
import { Missing, SelectionFields, selectionOf, selectionText } from './selection.ts';

/** How the mail of one domain came or left: each message at each peer. */

type Row = LedgerRowsReply['rows'][number];

export function DomainLedger({ domain, query }: { domain: string; query: URLSearchParams }) {
  const selection = selectionOf(query);
  const weaker = query.get('weaker') === 'true';
  const loaded = useData<LedgerRowsReply>('tls/ledger/rows', { ...selection, domain, weaker: weaker && 'true' });
  const outgoing = selection.direction === 'out';
  return html`
    <${PageHead} title=${`TLS of ${domain}`}><a href=${`/tls${selectionText(selection)}`}>All domains</a><//>
    <div class="fields">
      <${SelectionFields} ...${selection} />
      ${outgoing && html`<${CheckField} label="Only what is weaker than wanted" value=${weaker} onValue=${(on: boolean) => setQuery({ weaker: on ? 'true' : undefined })} />`}
    </div>
    ${shown(
      loaded,
      ({ rows, more, silent, since }) => html`
        <${Missing} silent=${silent} since=${since} />
        <${Table} key=${selection.direction} label="Messages" rows=${rows} columns=${outgoing ? OUTGOING : INCOMING} rowKey=${keyOf}
          href=${({ queueId }: Row) => `/messages/${segment(queueId)}`} card=${card} total=${more ? -1 : rows.length}
          empty=${html`<${Empty} title="No such mail in that time">Choose a longer time or the other direction.<//>`} />
        ${more && html`<p class="soft">The newest ones; <code>sealpost tls ledger --domain ${domain}</code> has all.</p>`}
      `,
    )}
  `;
}

const keyOf = ({ queueId, peer, at, state, reached }: Row): string => `${queueId} ${at} ${state} ${reached} ${peer}`;

const WORDS: Record<Row['reached'], readonly [Tone, string]> = {
  clear: ['idle', 'clear text'],
  encrypted: ['info', 'encrypted'],
  verified: ['good', 'verified'],
};

function Reached({ reached, weaker }: Row) {
  const [tone, word] = WORDS[reached];
  return html`<${Badge} tone=${weaker ? 'warn' : tone}>${word}<//>`;
}

const wantedText = ({ wanted, by }: Row): string => (wanted === undefined ? '–' : `${wanted} (${by ?? 'default'})`);
const tlsText = ({ protocol, cipher }: Row): string =>
  protocol === undefined ? '–' : [protocol, cipher].filter(Boolean).join(' ');
const certificateText = ({ certificate, verdict = '–' }: Row): string =>
  certificate?.subject === undefined ? verdict : `${certificate.subject}: ${verdict}`;
const stateText = ({ state, why }: Row): string => (why === undefined ? state : `${state}: ${why}`);

const COMMON = [
  { title: 'Message', cell: ({ queueId }: Row) => queueId, width: 13 },
  { title: 'Time', cell: ({ at }: Row) => html`<${Time} at=${at} />`, by: ({ at }: Row) => at, width: 6 },
  { title: 'Peer', cell: ({ peer }: Row) => peer, by: ({ peer }: Row) => peer, width: 14 },
  { title: 'Reached', cell: (row: Row) => html`<${Reached} ...${row} />`, by: ({ reached }: Row) => reached, width: 8 },
];
const TLS = [
  { title: 'TLS', cell: tlsText, width: 13 },
  { title: 'Certificate', cell: certificateText, width: 12 },
];
const OUTGOING = [
  ...COMMON,
  { title: 'Wanted', cell: wantedText, by: wantedText, width: 13 },
  { title: 'State', cell: stateText, by: stateText, width: 12 },
  ...TLS,
];
const INCOMING = [
  ...COMMON,
  ...TLS,
  { title: 'User', cell: ({ user = '–' }: Row) => user, by: ({ user }: Row) => user ?? '', width: 10 },
  { title: 'Listener', cell: ({ listener = '–' }: Row) => listener, width: 7 },
];

const card = (row: Row) => html`
  <span class="card-line"><strong>${row.peer}</strong><${Reached} ...${row} /></span>
  <span class="card-line soft"><span>${stateText(row)}</span><${Time} at=${row.at} /></span>
`;
