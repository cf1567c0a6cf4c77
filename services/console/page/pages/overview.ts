import type { Overview as Moment, OverviewReply } from '#services/console/schemas/overview.ts';
import { html, useEffect, useState } from '/vendor/preact.js';
import { Note } from '../kit/badge.ts';
import { Chart } from '../kit/chart.ts';
import { countText, rateText, shareText } from '../kit/format.ts';
import { Card, Figure, Figures, PageHead, shown } from '../kit/layout.ts';
import { type Loaded, useData } from '../state/data.ts';
import { useLive } from '../state/stream.ts';
import { Alarms } from './overview/alarms.ts';
import { extended, GAP_MS, type Known, recentShare } from './overview/figures.ts';
import { Nodes } from './overview/nodes.ts';
import { verdictOf } from './overview/verdict.ts';

/** Whether mail flows, whether it is signed and encrypted, and what needs a hand: on one page, as it happens. */

export default function Overview() {
  const loaded = useData<OverviewReply>('overview');
  const { data: now, stale } = useLive<Moment>('overview');
  const known = useGrowing(loaded, now);
  return html`
    <${PageHead} title="Overview" />
    ${shown({ ...loaded, data: known }, (all) => html`<${Picture} ...${all} stale=${stale} />`)}
  `;
}

/** What was read at first, and every moment since; gaps are filled from the history of the server, which has gone on. */
function useGrowing({ data: first, problem, reload }: Loaded<OverviewReply>, now: Moment | undefined) {
  const [known, setKnown] = useState<Known | undefined>(undefined);
  useEffect(() => {
    if (first !== undefined) setKnown(first);
  }, [first]);
  useEffect(() => {
    if (now === undefined) return;
    if (known === undefined) {
      // The console has come back since.
      if (problem !== undefined) void reload();
      return;
    }
    if (Math.abs(now.at - known.now.at) > GAP_MS) void reload();
    setKnown(extended(known, now));
  }, [now]);
  return known;
}

/** The span over which shares are taken: of one second, they would jump. */
const SHARE_MS = 60_000;

function Picture({ now, history, stale }: Known & { stale: number | undefined }) {
  const { tone, title, text } = verdictOf({ now, history }, stale);
  return html`
    <div class="verdict"><${Note} tone=${tone} title=${html`<span role="status">${title}</span>`}>${text}<//></div>
    ${now.alarms.length > 0 && html`<${Alarms} alarms=${now.alarms} />`}
    <${TotalFigures} now=${now} history=${history} />
    <div class="columns">
      <${Card} title="Mail per second">
        <${Chart} label="Mail per second in the last minutes" times=${history.at} format=${rateText} series=${[
          { name: 'accepted', colour: 'blue', values: history.accepted, area: true },
          { name: 'delivered', colour: 'green', values: history.delivered },
          { name: 'deferred', colour: 'amber', values: history.deferred },
          { name: 'failed', colour: 'red', values: history.failed },
        ]} />
      <//>
      <${Card} title="Signed and encrypted">
        <${Chart} label="Share of delivered mail that was signed and encrypted" times=${history.at} most=${1} format=${shareText} series=${[
          { name: 'signed', colour: 'violet', values: history.signed, sparse: true },
          { name: 'encrypted', colour: 'teal', values: history.encrypted, sparse: true },
        ]} />
      <//>
    </div>
    <${Card} title="Nodes"><${Nodes} nodes=${now.nodes} here=${now.node} /><//>
  `;
}

function TotalFigures({ now: { total }, history }: Known) {
  const share = (name: 'signed' | 'encrypted'): string => shareText(recentShare(history, name, SHARE_MS));
  const rate = (name: 'accepted' | 'delivered' | 'deferred' | 'failed'): string =>
    total ? rateText(total.rates[name]) : '–';
  const queue = (name: 'active' | 'deferred' | 'hold'): string => (total ? countText(total.queue[name]) : '–');
  return html`<${Figures}>
    <${Figure} label="Accepted" value=${rate('accepted')}>a second<//>
    <${Figure} label="Delivered" value=${rate('delivered')}>a second<//>
    <${Figure} label="Deferred" value=${rate('deferred')}>a second<//>
    <${Figure} label="Failed" value=${rate('failed')} tone=${total && total.rates.failed > 0 ? 'bad' : ''}>a second<//>
    <${Figure} label="Waiting" value=${queue('deferred')}><a href="/destinations">by destination</a><//>
    <${Figure} label="Held" value=${queue('hold')}>until released<//>
    <${Figure} label="Signed" value=${share('signed')}>in the last minute<//>
    <${Figure} label="Encrypted" value=${share('encrypted')}>in the last minute<//>
  <//>`;
}
