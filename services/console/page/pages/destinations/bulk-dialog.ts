import type { ChangeReply, ChangeRequest, QueueFilter } from '#services/console/schemas/queue.ts';
import { html, useEffect, useRef, useState } from '/vendor/preact.js';
import { Note } from '../../kit/badge.ts';
import { Dialog } from '../../kit/dialog.ts';
import { TextField } from '../../kit/form.ts';
import { countText, listText, plural } from '../../kit/format.ts';
import { say } from '../../kit/toast.ts';
import { post, problemText } from '../../state/api.ts';
import { DONE, LABELS } from '../messages/changes.ts';

/**
 * A change of all mail that a filter means, in steps:
 *
 *   counting → asking → working → (done) closed
 *                     ↘ stopped: what is done is done, and it can go on
 *
 * Mail that arrives after the count is left alone. A request works for a moment and says how far it is.
 */

export type BulkOperation = ChangeRequest['operation'];
type Props = {
  operation: BulkOperation;
  filter: QueueFilter;
  /** `the mail to example.net`. */
  what: string;
  onClose: () => void;
  after: () => unknown;
};
type Stage = 'counting' | 'asking' | 'working' | 'stopped';
type Places = ChangeReply['places'];

export const TITLES: Record<BulkOperation, string> = { ...LABELS, reroute: 'Reroute …' };
const DONE_TEXTS: Record<BulkOperation, string> = { ...DONE, reroute: 'rerouted' };
const EFFECTS: Record<BulkOperation, string> = {
  retry: 'It is tried now, also where its next hop is left alone for a while.',
  hold: 'It stays in the queues, and no attempt is made, until somebody releases it.',
  release: 'Held mail is delivered.',
  bounce: 'It leaves the queues now, and each sender gets a non-delivery report. This cannot be taken back.',
  remove: 'It is taken out of the queues for good. Nobody is told. This cannot be taken back.',
  reroute: 'It goes to another host, now, until it has left.',
};

export function BulkDialog({ operation, filter, what, onClose, after }: Props) {
  const [stage, setStage] = useState<Stage>('counting');
  const [expected, setExpected] = useState<ChangeReply['nodes']>([]);
  const [count, setCount] = useState(0);
  const [silent, setSilent] = useState<ChangeReply['silent']>([]);
  const [reason, setReason] = useState('');
  const [via, setVia] = useState('');
  const [problem, setProblem] = useState<unknown>(undefined);
  const places = useRef<Places | undefined>(undefined);
  const stopped = useRef(false);
  const total = expected.reduce((sum, node) => sum + node.count, 0);

  /** Ask until all is done; false where somebody stopped it. */
  const through = async (more: Partial<ChangeRequest>, onPart: (part: ChangeReply) => void): Promise<boolean> => {
    for (;;) {
      if (stopped.current) return false;
      const request = { operation, filter, ...more, ...(places.current && { places: places.current }) };
      const part = await post<ChangeReply>('queue/change', request);
      places.current = part.places;
      onPart(part);
      if (part.done) return true;
    }
  };
  const countAll = async (): Promise<void> => {
    const sums = new Map<string, number>();
    // To count, any next hop will do.
    const whole = await through({ dryRun: true, ...(operation === 'reroute' && { via: 'route' }) }, (part) => {
      for (const { node, count: some } of part.nodes) sums.set(node, (sums.get(node) ?? 0) + some);
      setExpected([...sums].map(([node, some]) => ({ node, count: some })));
      setSilent(part.silent);
    });
    // From the start again, to the same moment.
    places.current = places.current?.map(({ node, until }) => ({
      node,
      done: false,
      ...(until !== undefined && { until }),
    }));
    if (whole) setStage('asking');
  };
  useEffect(() => {
    countAll().catch(setProblem);
    return () => {
      stopped.current = true;
    };
  }, []);

  const work = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (stage !== 'asking' && stage !== 'stopped') return;
    stopped.current = false;
    setStage('working');
    setProblem(undefined);
    try {
      let done = count;
      const more = {
        ...(reason.trim() && { reason: reason.trim() }),
        ...(operation === 'reroute' && { via: via.trim() }),
      };
      const whole = await through(more, (part) => {
        done += part.count;
        setCount(done);
        setSilent(part.silent);
      });
      after();
      if (!whole) setStage('stopped');
      else {
        say(`${plural(done, 'message')} ${DONE_TEXTS[operation]}.`);
        onClose();
      }
    } catch (error) {
      setProblem(error);
      setStage('stopped');
    }
  };
  const destroys = operation === 'remove' || operation === 'bounce';
  const close = (): void => {
    stopped.current = true;
    onClose();
  };
  return html`<${Dialog} title=${`${TITLES[operation].replace(' …', '')}: ${what}`} onClose=${close}>
    <form class="dialog-form" onSubmit=${work}>
      <p>${EFFECTS[operation]}</p>
      <p role="status">${
        stage === 'counting'
          ? `Counting: ${plural(total, 'message')} so far …`
          : stage === 'asking'
            ? html`<strong>${plural(total, 'message')}</strong>${expected.length > 1 && html`<span class="soft"> (${listText(expected.map(({ node, count: some }) => `${node}: ${countText(some)}`))})</span>`}`
            : `${countText(count)} of ${plural(total, 'message')} ${DONE_TEXTS[operation]}${stage === 'stopped' ? '; stopped' : ''}`
      }</p>
      ${(stage === 'working' || stage === 'stopped') && html`<progress class="progress" aria-label="How far it is" max=${Math.max(1, total)} value=${count}></progress>`}
      ${silent.length > 0 && html`<${Note} tone="warn" title=${`${listText(silent.map(({ node }) => node))} did not answer: its mail is left alone`} />`}
      ${stage === 'asking' && operation === 'bounce' && html`<${TextField} label="Reason" value=${reason} onValue=${setReason} hint="Optional. The senders read it in the report." />`}
      ${stage === 'asking' && operation === 'reroute' && html`<${TextField} label="Next hop" value=${via} onValue=${setVia} required hint="smtp://host, smtps://host or lmtp://host, each with or without :port, mx, or route: as the routes say" />`}
      ${problem !== undefined && html`<div role="alert"><${Note} tone="bad" title=${problemText(problem)} /></div>`}
      <footer class="dialog-foot">
        <button type="button" onClick=${stage === 'working' ? () => ((stopped.current = true)) : close}>${stage === 'working' ? 'Stop' : stage === 'stopped' ? 'Close' : 'Cancel'}</button>
        ${stage !== 'working' && html`<button type="submit" class=${destroys ? 'danger' : 'primary'} disabled=${stage === 'counting' || total === 0}>${stage === 'stopped' ? 'Go on' : `${TITLES[operation].replace(' …', '')}: ${plural(total, 'message')}`}</button>`}
      </footer>
    </form>
  <//>`;
}
