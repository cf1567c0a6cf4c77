import type { KeyListReply, KeyShown } from '#services/console/schemas/keys.ts';
import { html, useState } from '/vendor/preact.js';
import { Note } from '../../kit/badge.ts';
import { plural } from '../../kit/format.ts';
import { Card, Empty, PageHead, Prose, shown } from '../../kit/layout.ts';
import { Table } from '../../kit/table.ts';
import { Moment, Time } from '../../kit/time.ts';
import { segment } from '../../state/api.ts';
import { useData } from '../../state/data.ts';
import { mayChange, useSession } from '../../state/session.ts';
import { CreateKey, RotateKeys } from './forms.ts';
import { DnsState, KeyState, OnNodes, RotationState } from './states.ts';

/** Every key of every domain, what needs a look, and what is under way. */

const AGAIN_MS = 3000;

export function KeyList() {
  const keys = useData<KeyListReply>('keys', {}, AGAIN_MS);
  const [open, setOpen] = useState<'create' | 'rotate' | undefined>(undefined);
  const close = (): void => setOpen(undefined);
  const domains = keys.data?.domains ?? [];
  const signing = [...new Set(keys.data?.keys.filter(({ state }) => state === 'active').map(({ domain }) => domain))];
  const actions =
    mayChange(useSession()) &&
    html`
      <button type="button" onClick=${() => setOpen('create')}>Create a key</button>
      <button type="button" class="primary" disabled=${signing.length === 0} onClick=${() => setOpen('rotate')}>Rotate keys</button>
    `;
  return html`
    <${PageHead} title="Keys" actions=${actions}>DKIM keys, the same on every node.<//>
    ${shown(keys, (reply) => html`<${All} ...${reply} />`)}
    ${open === 'create' && html`<${CreateKey} domains=${domains} onClose=${close} after=${keys.reload} />`}
    ${open === 'rotate' && html`<${RotateKeys} domains=${signing} onClose=${close} />`}
  `;
}

function All({ keys, rotations, schedules, behind, node }: KeyListReply) {
  const notes = keys.filter(({ note }) => note !== undefined);
  return html`
    ${behind && html`<${Note} tone="warn" title=${`${node} may not know the newest: ${behind}.`} />`}
    ${
      notes.length > 0 &&
      html`<ul class="stack notes">
        ${notes.map(
          (key) => html`<li key=${`${key.domain} ${key.selector}`}>
            <${Note} tone=${key.exposed ? 'bad' : 'warn'} title=${html`<a href=${hrefOf(key)}>${key.selector} of ${key.domain}</a>`}>
              <${Prose} text=${key.note} />
            <//>
          </li>`,
        )}
      </ul>`
    }
    ${rotations.length > 0 && html`<${Card} title="Rotations under way"><${Rotations} rotations=${rotations} /><//>`}
      <${Table} label="Keys" rows=${keys} columns=${COLUMNS} rowKey=${hrefOf} href=${hrefOf} card=${card}
        empty=${html`<${Empty} title="There are no keys yet">Create one: mail of its domain is signed once every name server has its record.<//>`} />
    ${
      schedules.length > 0 &&
      html`<${Card} title="Schedules">
        <ul>
          ${schedules.map(
            ({ domain, days, at, zone, next }) => html`<li key=${domain}>
              <a href=${`/keys/${segment(domain)}`}>${domain}</a> every ${plural(days, 'day')} at ${at} ${zone}, next <${Moment} at=${next} />
            </li>`,
          )}
        </ul>
      <//>`
    }
  `;
}

const hrefOf = ({ domain, selector }: KeyShown): string => `/keys/${segment(domain)}/${segment(selector)}`;

const COLUMNS = [
  { title: 'Domain', cell: (key: KeyShown) => key.domain, by: (key: KeyShown) => key.domain, width: 14 },
  { title: 'Selector', cell: (key: KeyShown) => key.selector, by: (key: KeyShown) => key.selector, width: 9 },
  {
    title: 'State',
    cell: (key: KeyShown) => html`<${KeyState} ...${key} />`,
    by: (key: KeyShown) => key.state,
    width: 9,
  },
  { title: 'Nodes', cell: (key: KeyShown) => html`<${OnNodes} ...${key} />`, width: 7 },
  { title: 'DNS', cell: (key: KeyShown) => html`<${DnsState} ...${key} />`, width: 9 },
  { title: 'Algorithm', cell: (key: KeyShown) => key.algorithm, by: (key: KeyShown) => key.algorithm, width: 7 },
  {
    title: 'Created',
    cell: (key: KeyShown) => html`<${Time} at=${key.created} />`,
    by: (key: KeyShown) => key.created,
    width: 7,
  },
];

const card = (key: KeyShown) => html`
  <span class="card-line"><strong>${key.selector} of ${key.domain}</strong></span>
  <span class="card-line"><${KeyState} ...${key} /> <${OnNodes} ...${key} /> <${DnsState} ...${key} /></span>
`;

function Rotations({ rotations }: Pick<KeyListReply, 'rotations'>) {
  return html`<ul class="stack">
    ${rotations.map(
      (rotation) => html`<li key=${rotation.id}>
        <${RotationState} ...${rotation} /> <a href=${`/keys/${segment(rotation.domain)}`}>${rotation.domain}</a>
        <div class="soft"><${Prose} text=${rotation.text} /></div>
      </li>`,
    )}
  </ul>`;
}
