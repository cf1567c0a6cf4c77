import type { KeyListReply, RotationShown } from '#services/console/schemas/keys.ts';
import { html, useState } from '/vendor/preact.js';
import { ActionButton } from '../../kit/dialog.ts';
import { plural } from '../../kit/format.ts';
import { Card, Empty, Facts, PageHead, Prose, shown } from '../../kit/layout.ts';
import { Moment } from '../../kit/time.ts';
import { post, put, segment } from '../../state/api.ts';
import { useData } from '../../state/data.ts';
import { mayChange, useSession } from '../../state/session.ts';
import { RotateKeys, SetSchedule } from './forms.ts';
import { KeyState, RotationState } from './states.ts';

/** The rotation of a domain, step by step while it happens, and its schedule. */

const AGAIN_MS = 1000;

export function Rotation({ domain }: { domain: string }) {
  const keys = useData<KeyListReply>('keys', {}, 5000);
  const rotation = useData<RotationShown>(`rotations/${segment(domain)}`, {}, AGAIN_MS);
  const [open, setOpen] = useState<'rotate' | 'schedule' | undefined>(undefined);
  const close = (): void => setOpen(undefined);
  const changes = mayChange(useSession());
  const schedule = keys.data?.schedules.find((one) => one.domain === domain);
  const isNone = rotation.problem?.code === 'not-found';
  const underWay = rotation.data !== undefined && !isNone && !['done', 'rolled-back'].includes(rotation.data.state);
  const actions =
    changes &&
    (underWay
      ? html`<${Actions} domain=${domain} state=${rotation.data?.state ?? 'running'} reload=${rotation.reload} />`
      : html`<button type="button" class="primary" onClick=${() => setOpen('rotate')}>Rotate its keys</button>`);
  return html`
    <${PageHead} title=${`Keys of ${domain}`} actions=${actions}><a href="/keys">All keys</a><//>
    ${
      isNone
        ? html`<${Card} title="Rotation"><${Empty} title="The keys of this domain were never rotated">Rotate them here, or let a schedule do it.<//><//>`
        : shown(rotation, (reply) => html`<${Steps} ...${reply} />`)
    }
    <${Card} title="Schedule" actions=${
      changes &&
      html`
      <button type="button" onClick=${() => setOpen('schedule')}>${schedule ? 'Change' : 'Set a schedule'}</button>
      ${
        schedule &&
        html`<${ActionButton} label="End it" run=${() => put(`schedules/${segment(domain)}`, {})} after=${keys.reload}
        done=${`The keys of ${domain} are rotated by hand alone.`} />`
      }
    `
    }>
      ${
        schedule
          ? html`<p>Every ${plural(schedule.days, 'day')} at ${schedule.at} ${schedule.zone}, next <${Moment} at=${schedule.next} />.</p>`
          : html`<p class="soft">None: the keys are rotated by hand.</p>`
      }
    <//>
    ${open === 'rotate' && html`<${RotateKeys} domains=${[domain]} onClose=${close} />`}
    ${open === 'schedule' && html`<${SetSchedule} domain=${domain} days=${schedule?.days} at=${schedule?.at ?? '03:00'} onClose=${close} after=${keys.reload} />`}
  `;
}

function Steps(rotation: RotationShown) {
  const { from, to, started, by, events, text } = rotation;
  return html`
    <${Card} title="Rotation">
      <p role="status"><${RotationState} ...${rotation} /> <${Prose} text=${text} /></p>
      <${Facts} rows=${[
        ['Began', html`<${Moment} at=${started} />, at ${by}`],
        ['Old keys', html`<${Keys} keys=${from} domain=${rotation.domain} />`],
        ['New keys', html`<${Keys} keys=${to} domain=${rotation.domain} />`],
      ]} />
    <//>
    <${Card} title="Steps">
      <ol class="steps">
        ${events.map(
          ({ at, node, text: what }) => html`<li key=${`${at} ${node} ${what}`}>
            <${Moment} at=${at} /> <strong>${node}</strong> ${what}
          </li>`,
        )}
      </ol>
    <//>
  `;
}

function Keys({ keys, domain }: { keys: RotationShown['to']; domain: string }) {
  return keys.map(
    ({ selector, state, algorithm }) => html`<div key=${selector}>
      <a href=${`/keys/${segment(domain)}/${segment(selector)}`}>${selector}</a> <${KeyState} state=${state} /> <span class="soft">${algorithm}</span>
    </div>`,
  );
}

function Actions({ domain, state, reload }: { domain: string; state: RotationShown['state']; reload: () => unknown }) {
  const send = (verb: string) => (): Promise<unknown> => post(`rotations/${segment(domain)}/${verb}`);
  return html`
    ${
      state === 'running'
        ? html`<${ActionButton} label="Freeze" run=${send('freeze')} after=${reload} done=${`The rotation of ${domain} stands still.`} />`
        : html`<${ActionButton} label="Go on" kind="primary" run=${send('resume')} after=${reload} done=${`The rotation of ${domain} goes on.`} />`
    }
    <${ActionButton} label="Roll back" kind="danger" run=${send('roll-back')} after=${reload} done=${`The rotation of ${domain} is rolled back.`} confirm=${{
      title: `Roll the rotation of ${domain} back?`,
      text: 'The old keys go on signing, and the new ones end. To rotate later, begin anew.',
      verb: 'Roll it back',
      danger: true,
    }} />
  `;
}
