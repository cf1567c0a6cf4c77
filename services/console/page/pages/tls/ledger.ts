import type { LedgerReply } from '#services/console/schemas/tls.ts';
import { html } from '/vendor/preact.js';
import { Badge, Note } from '../../kit/badge.ts';
import { TextField } from '../../kit/form.ts';
import { countText, plural, shareText } from '../../kit/format.ts';
import { Empty, Figure, Figures, shown } from '../../kit/layout.ts';
import { Table } from '../../kit/table.ts';
import { Time } from '../../kit/time.ts';
import { segment } from '../../state/api.ts';
import { useData } from '../../state/data.ts';
import { setQuery } from '../../state/router.ts';
import { Missing, type Selection, SelectionFields, selectionOf, selectionText } from './selection.ts';

/** How much came or left with which TLS, by domain. */

type Total = LedgerReply['totals'][number];

export function Ledger({ query }: { query: URLSearchParams }) {
  const selection = selectionOf(query);
  const loaded = useData<LedgerReply>('tls/ledger', selection);
  const wanted = query.get('find') ?? '';
  return html`
    <div class="fields">
      <${SelectionFields} ...${selection} />
      <${TextField} label="Domain" type="search" value=${wanted} onValue=${(find: string) => setQuery({ find })} />
    </div>
    ${shown(loaded, (reply) => html`<${Totals} reply=${reply} selection=${selection} find=${wanted} />`)}
  `;
}

function Totals({ reply, selection, find }: { reply: LedgerReply; selection: Selection; find: string }) {
  const { totals, silent, since, more, unreadable } = reply;
  const text = find.trim().toLowerCase();
  const rows = text === '' ? totals : totals.filter(({ domain }) => domain.includes(text));
  const hrefOf = ({ domain }: Total): string => `/tls/domain/${segment(nameOf(domain))}${selectionText(selection)}`;
  return html`
    <${Missing} silent=${silent} since=${since} />
    ${unreadable > 0 && html`<${Note} tone="warn" title=${`${plural(unreadable, 'damaged record')} could not be counted.`}><code>sealpost doctor</code> says where they are.<//>`}
    <${Sums} sum=${reply.sum} outgoing=${selection.direction === 'out'} />
    <${Table} key=${selection.direction} label="Domains" rows=${rows} columns=${selection.direction === 'out' ? OUTGOING : INCOMING}
      rowKey=${({ domain }: Total) => domain} href=${hrefOf} card=${card} empty=${empty(text !== '')} />
    ${more > 0 && html`<p class="soft">And ${plural(more, 'domain')} with less mail: <code>sealpost tls ledger --totals</code> lists all.</p>`}
  `;
}

/** The reverse-path of notices has no domain. */
const nameOf = (domain: string): string => (domain === '' ? '<>' : domain);

function Sums({ sum, outgoing }: { sum: LedgerReply['sum']; outgoing: boolean }) {
  const { clear, encrypted, verified, weaker, undelivered } = sum;
  const all = clear + encrypted + verified;
  const share = (part: number): string => shareText(all === 0 ? undefined : part / all);
  return html`<${Figures}>
    <${Figure} label=${outgoing ? 'Delivered' : 'Came'} value=${countText(all)}>${outgoing ? 'to other hosts' : 'from clients and other hosts'}<//>
    <${Figure} label="Encrypted" value=${share(encrypted + verified)}>${countText(encrypted + verified)} of them<//>
    <${Figure} label="Verified" value=${share(verified)}>the certificate is that of the peer<//>
    <${Figure} label="In clear text" value=${countText(clear)} tone=${clear > 0 ? 'warn' : ''}>readable on the way<//>
    ${outgoing && html`<${Figure} label="Weaker than wanted" value=${countText(weaker)} tone=${weaker > 0 ? 'warn' : ''}>delivered all the same<//>`}
    ${outgoing && html`<${Figure} label="Not delivered" value=${countText(undelivered)}>waits, or was returned<//>`}
  <//>`;
}

const count = (of: (total: Total) => number) => ({
  cell: (total: Total) => (of(total) === 0 ? html`<span class="soft">0</span>` : countText(of(total))),
  by: of,
  width: 7,
  numeric: true,
});

const DOMAIN = {
  title: 'Domain',
  cell: ({ domain }: Total) => nameOf(domain),
  by: ({ domain }: Total) => domain,
  width: 16,
};
const LEVELS = [
  { title: 'Clear text', ...count(({ clear }) => clear) },
  { title: 'Encrypted', ...count(({ encrypted }) => encrypted) },
  { title: 'Verified', ...count(({ verified }) => verified) },
];
const LAST = {
  title: 'Last',
  cell: ({ last }: Total) => html`<${Time} at=${last} />`,
  by: ({ last }: Total) => last,
  width: 7,
};

const OUTGOING = [
  DOMAIN,
  { title: 'TLS', cell: (total: Total) => html`<${Level} ...${total} />`, width: 10 },
  { title: 'Weaker', ...count(({ weaker = 0 }) => weaker) },
  ...LEVELS,
  { title: 'Not delivered', ...count(({ undelivered }) => undelivered), width: 8 },
  LAST,
];
const INCOMING = [
  DOMAIN,
  { title: 'TLS', cell: (total: Total) => html`<${Level} ...${total} />`, width: 10 },
  ...LEVELS,
  LAST,
];

/** The weakest that there was. */
function Level({ clear, encrypted, verified, weaker = 0 }: Total) {
  if (weaker > 0) return html`<${Badge} tone="warn">weaker<//>`;
  if (clear > 0) return html`<${Badge} tone="idle">clear text<//>`;
  if (encrypted > 0) return html`<${Badge} tone="info">encrypted<//>`;
  return verified > 0 ? html`<${Badge} tone="good">verified<//>` : html`<${Badge} tone="wait">none yet<//>`;
}

const card = (total: Total) => html`
  <span class="card-line"><strong>${nameOf(total.domain)}</strong><${Level} ...${total} /></span>
  <span class="card-line soft"><span>${total.clear} clear, ${total.encrypted} encrypted, ${total.verified} verified</span><${Time} at=${total.last} /></span>
`;

const empty = (filtered: boolean) =>
  filtered
    ? html`<${Empty} title="No domain fits">Choose a longer time, or look for a part of its name.<//>`
    : html`<${Empty} title="No mail in that time">Each delivery to another host appears here, and each message that a client brings. Choose a longer time.<//>`;
