import type { MessageReply } from '#services/console/schemas/messages.ts';
import { html, useEffect, useState } from '/vendor/preact.js';
import { Badge, Note, type Tone } from '../../kit/badge.ts';
import { CopyButton } from '../../kit/copy.ts';
import { ActionButton } from '../../kit/dialog.ts';
import { listText } from '../../kit/format.ts';
import { Card, Facts, PageHead, Prose, shown } from '../../kit/layout.ts';
import { Moment, Time } from '../../kit/time.ts';
import { segment } from '../../state/api.ts';
import { useData } from '../../state/data.ts';
import { changeNamed, DONE, LABELS, type Operation, questionOf } from './changes.ts';
import { ReturnDialog } from './return-dialog.ts';
import { MessageSource } from './source.ts';
import { MailBadge, RecipientBadge, senderText, toneOf } from './states.ts';
import { Timeline } from './timeline.ts';

/** One message: why it is where it is, on top; below, its journey, and all that is known of it. */

/** It is read again so often while it is shown, until it has left. */
const EVERY_MS = 5000;

export function Message({ id }: { id: string }) {
  const [isOpen, setOpen] = useState(true);
  const message = useData<MessageReply>(`messages/${segment(id)}`, {}, isOpen ? EVERY_MS : undefined);
  const isOver = message.problem !== undefined || message.data?.queued === false;
  useEffect(() => {
    if (isOver) setOpen(false);
  }, [isOver]);
  return html`
    <p class="back"><a href="/messages">All messages</a></p>
    <${PageHead} title=${`Message ${id}`} actions=${html`<${CopyButton} text=${id} label="Copy the queue id" />`} />
    ${shown(message, (data) => html`<${Told} message=${data} reload=${message.reload} />`)}
  `;
}

type ToldProps = { message: MessageReply; reload: () => Promise<void> };

function Told({ message, reload }: ToldProps) {
  const { state, sentence, silent, recipients, authentication, steps, leftOut, queued, may, id } = message;
  return html`
    <div class="why">
      <${Note} tone=${state === 'held' ? 'warn' : noteTone(state)} title=${html`<${Prose} text=${sentence} />`}>
        <${MailBadge} state=${state} />
      <//>
    </div>
    ${
      silent.length > 0 &&
      html`<${Note} tone="warn" title=${`${listText(silent.map(({ node }) => node))} did not answer, and may know more of it`} />`
    }
    ${may.change && html`<${Actions} message=${message} reload=${reload} />`}
    <div class="columns message-columns">
      <div class="stack">
        ${
          steps.length > 0 &&
          html`<${Card} title="Journey">
          ${leftOut > 0 && html`<p class="soft">${leftOut} attempts between the first ones and the last ones are not kept.</p>`}
          <${Timeline} steps=${steps} several=${recipients.length > 1} />
        <//>`
        }
      </div>
      <div class="stack">
        <${Card} title="Message"><${Facts} rows=${factRows(message)} /><//>
        ${
          authentication.length > 0 &&
          html`<${Card} title="Authentication"><${Results} results=${authentication} /><//>`
        }
      </div>
    </div>
    ${recipients.length > 0 && html`<${Card} title="Recipients"><${Recipients} recipients=${recipients} /><//>`}
    ${may.read && queued && html`<${MessageSource} id=${id} />`}
  `;
}

const noteTone = (state: MessageReply['state']): Tone => {
  const tone = toneOf(state);
  return tone === 'wait' ? 'info' : tone;
};

function factRows({ from, messageId, arrived, node, facts }: MessageReply): [string, unknown][] {
  return [
    ['From', from === undefined ? undefined : senderText(from)],
    ['Message-ID', messageId],
    [
      'Arrived',
      arrived === undefined
        ? undefined
        : html`<${Moment} at=${arrived} /> <span class="soft">(<${Time} at=${arrived} />)</span>`,
    ],
    ['Node', node],
    ...facts,
  ];
}

function Actions({ message: { id, state }, reload }: ToldProps) {
  const [returning, setReturning] = useState(false);
  const what = `message ${id}`;
  const button = (operation: Operation, kind?: string): unknown => {
    const question = questionOf(operation, what);
    return html`<${ActionButton} key=${operation} label=${LABELS[operation]} kind=${kind} ...${question && { confirm: question }}
      run=${() => changeNamed(operation, [id])} done=${`Message ${id} is ${DONE[operation]}.`} after=${reload} />`;
  };
  const giveBack = async (reason: string): Promise<void> => {
    await changeNamed('bounce', [id], reason);
    await reload();
  };
  return html`<div class="actions" role="group" aria-label="What to do with it">
    ${state === 'held' ? button('release', 'primary') : button('retry', 'primary')}
    ${state !== 'held' && button('hold')}
    <button type="button" onClick=${() => setReturning(true)}>${LABELS.bounce}</button>
    ${button('remove', 'danger')}
    ${returning && html`<${ReturnDialog} what=${what} onClose=${() => setReturning(false)} run=${giveBack} />`}
  </div>`;
}

const RESULTS: Readonly<Record<string, Tone>> = {
  pass: 'good',
  fail: 'bad',
  softfail: 'warn',
  permerror: 'bad',
  temperror: 'warn',
  policy: 'warn',
};

function Results({ results }: { results: MessageReply['authentication'] }) {
  return html`<dl class="results">
    ${results.map(
      ({ method, result, details, reason }, n) => html`<div key=${n}>
        <dt>${method}</dt>
        <dd>
          <${Badge} tone=${RESULTS[result] ?? 'idle'}>${result}<//>
          ${(details.length > 0 || reason !== undefined) && html`<span class="soft"> ${[...details, ...(reason === undefined ? [] : [reason])].join(', ')}</span>`}
        </dd>
      </div>`,
    )}
  </dl>`;
}

function Recipients({ recipients }: Pick<MessageReply, 'recipients'>) {
  return html`<ul class="recipients">
    ${recipients.map(
      ({
        address,
        original,
        state,
        nextHop,
        notes,
        reply,
        host,
        next,
      }) => html`<li key=${`${address} ${original ?? ''}`}>
        <div class="card-line">
          <strong>${address}</strong>
          <${RecipientBadge} state=${state} />
        </div>
        <div class="soft recipient-facts">
          ${original !== undefined && html`<span>was ${original}</span>`}
          ${nextHop !== '' && html`<span>next hop ${nextHop}</span>`}
          ${next !== undefined && html`<span>next attempt <${Time} at=${next} /></span>`}
          ${notes.map((note) => html`<span key=${note}>${note}</span>`)}
        </div>
        ${reply !== undefined && html`<div class="said">${host !== undefined && html`<span class="soft">${host} said </span>`}<q>${reply}</q></div>`}
      </li>`,
    )}
  </ul>`;
}
