import type { QueueFilter } from '#services/console/schemas/queue.ts';
import { html, useState } from '/vendor/preact.js';
import { Note } from '../../kit/badge.ts';
import { Dialog } from '../../kit/dialog.ts';
import { TextField } from '../../kit/form.ts';
import { countText, listText, plural } from '../../kit/format.ts';
import { say } from '../../kit/toast.ts';
import { problemText } from '../../state/api.ts';
import { DONE, LABELS } from '../messages/changes.ts';
import { type BulkChange, type BulkOperation, type Stage, useBulkChange, type Words } from './bulk-change.ts';

/** The dialog of a change of much mail: it counts, asks, shows how far it is, and can be stopped. */

type Props = {
  operation: BulkOperation;
  filter: QueueFilter;
  /** `the mail to example.net`. */
  what: string;
  onClose: () => void;
  after: () => unknown;
};

export const TITLES: Record<BulkOperation, string> = { ...LABELS, reroute: 'Reroute' };
const DONE_TEXTS: Record<BulkOperation, string> = { ...DONE, reroute: 'rerouted' };
const EFFECTS: Record<BulkOperation, string> = {
  retry: 'It is tried now, also where its next hop is left alone for a while.',
  hold: 'It stays in the queues, and no attempt is made, until somebody releases it.',
  release: 'Mail that is held is delivered.',
  bounce: 'It leaves the queues now, and each sender gets a non-delivery report. This cannot be taken back.',
  remove: 'It is taken out of the queues for good. Nobody is told. This cannot be taken back.',
  reroute: 'It goes to another host, now and until it has left.',
};

export function BulkDialog({ operation, filter, what, onClose, after }: Props) {
  const change = useBulkChange(operation, filter);
  const [reason, setReason] = useState('');
  const [via, setVia] = useState('');
  const { stage, total, problem } = change;
  const work = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (stage !== 'asking' && stage !== 'stopped') return;
    const words: Words = {
      ...(reason.trim() !== '' && { reason: reason.trim() }),
      ...(operation === 'reroute' && { via: via.trim() }),
    };
    const count = await change.work(words);
    after();
    if (count === undefined) return;
    say(`${plural(count, 'message')} ${DONE_TEXTS[operation]}.`);
    onClose();
  };
  const close = (): void => {
    change.stop();
    onClose();
  };
  return html`<${Dialog} title=${`${TITLES[operation]}: ${what}`} onClose=${close}>
    <form class="dialog-form" onSubmit=${work}>
      <p>${EFFECTS[operation]}</p>
      <${HowFar} change=${change} done=${DONE_TEXTS[operation]} />
      ${stage === 'asking' && operation === 'bounce' && html`<${TextField} label="Reason" value=${reason} onValue=${setReason} hint="Optional. The senders read it in the report." />`}
      ${stage !== 'counting' && stage !== 'working' && operation === 'reroute' && html`<${TextField} label="Next hop" value=${via} onValue=${setVia} required hint=${HOPS} />`}
      ${problem !== undefined && html`<div role="alert"><${Note} tone="bad" title=${problemText(problem)} /></div>`}
      <footer class="dialog-foot">
        <button type="button" onClick=${stage === 'working' ? change.stop : close}>${CLOSING[stage]}</button>
        ${
          stage !== 'working' &&
          html`<button type="submit" class=${operation === 'remove' || operation === 'bounce' ? 'danger' : 'primary'} disabled=${stage === 'counting' || total === 0}>
          ${stage === 'stopped' ? 'Go on' : `${TITLES[operation]}: ${plural(total, 'message')}`}
        </button>`
        }
      </footer>
    </form>
  <//>`;
}

const HOPS = 'smtp://host, smtps://host or lmtp://host, each with or without :port, mx, or route: as the routes say';

const CLOSING: Record<Stage, string> = {
  counting: 'Cancel',
  asking: 'Cancel',
  working: 'Stop',
  stopped: 'Close',
  done: 'Close',
};

function HowFar({ change, done }: { change: BulkChange; done: string }) {
  const { stage, nodes, total, count, silent } = change;
  const each = nodes.map((node) => `${node.node}: ${countText(node.count)}`);
  return html`
    <p role="status">
      ${stage === 'counting' && `Counting: ${plural(total, 'message')} so far …`}
      ${stage === 'asking' && html`<strong>${plural(total, 'message')}</strong>${each.length > 1 && html`<span class="soft"> (${listText(each)})</span>`}`}
      ${(stage === 'working' || stage === 'stopped') && `${countText(count)} of ${plural(total, 'message')} ${done}${stage === 'stopped' ? ', then stopped' : ''}`}
    </p>
    ${(stage === 'working' || stage === 'stopped') && html`<progress class="progress" aria-label="How far it is" max=${Math.max(1, total)} value=${count}></progress>`}
    ${silent.length > 0 && html`<${Note} tone="warn" title=${`${listText(silent.map(({ node }) => node))} did not answer: its mail is left alone`} />`}
  `;
}
