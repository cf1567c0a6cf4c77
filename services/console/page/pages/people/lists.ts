import type { ListsReply } from '#services/console/schemas/people.ts';
import { html, useState } from '/vendor/preact.js';
import { ActionButton } from '../../kit/dialog.ts';
import { Empty, shown } from '../../kit/layout.ts';
import { Table } from '../../kit/table.ts';
import { remove, segment } from '../../state/api.ts';
import { useData } from '../../state/data.ts';
import { mayChange, useSession } from '../../state/session.ts';
import { type Alias, AliasForm, type Group, GroupForm } from './list-forms.ts';

/** Where mail for an address goes that no user has. */

/** What is added or changed; `of`: the one that is there. */
type Open = { kind: 'alias'; of?: Alias } | { kind: 'group'; of?: Group };

export function Lists() {
  const lists = useData<ListsReply>('lists', {}, 10_000);
  const [open, setOpen] = useState<Open | undefined>(undefined);
  const changes = mayChange(useSession());
  const first = lists.data?.first ?? false;
  const close = { onClose: () => setOpen(undefined), after: lists.reload };
  return html`
    ${
      changes &&
      html`<div class="actions">
        <button type="button" disabled=${lists.data === undefined} onClick=${() => setOpen({ kind: 'alias' })}>Add an alias</button>
        <button type="button" disabled=${lists.data === undefined} onClick=${() => setOpen({ kind: 'group' })}>Add a group</button>
      </div>`
    }
    ${shown(lists, (reply) => html`<${All} ...${reply} changes=${changes} open=${setOpen} reload=${lists.reload} />`)}
    ${open?.kind === 'alias' && html`<${AliasForm} of=${open.of} first=${first} ...${close} />`}
    ${open?.kind === 'group' && html`<${GroupForm} of=${open.of} first=${first} ...${close} />`}
  `;
}

type AllProps = ListsReply & { changes: boolean; open: (what: Open) => void; reload: () => unknown };

function All({ aliases, groups, changes, open, reload }: AllProps) {
  const ofAlias = (alias: Alias) =>
    changes &&
    html`<${Buttons} name=${alias.address} what="alias" path=${`aliases/${segment(alias.address)}`} change=${() => open({ kind: 'alias', of: alias })} after=${reload}
      text="Mail for the address is refused then, unless another entry has it." />`;
  const ofGroup = (group: Group) =>
    changes &&
    html`<${Buttons} name=${group.name} what="group" path=${`groups/${segment(group.name)}`} change=${() => open({ kind: 'group', of: group })} after=${reload}
      text="Mail for its addresses is refused then, unless other entries have them. Its members stay." />`;
  return html`
    <h2>Aliases</h2>
    <${Table} label="Aliases" rows=${aliases} columns=${[...ALIASES, ...(changes ? [{ title: 'Change', cell: ofAlias, width: 11 }] : [])]} rowKey=${({ address }: Alias) => address}
      card=${(alias: Alias) => html`
        <span class="card-line"><strong>${alias.address}</strong> ${ofAlias(alias)}</span>
        <span class="card-line soft">${targets(alias)}</span>`}
      empty=${html`<${Empty} title="No aliases">An alias leads mail for an address to others.<//>`} />
    <h2>Groups</h2>
    <${Table} label="Groups" rows=${groups} columns=${[...GROUPS, ...(changes ? [{ title: 'Change', cell: ofGroup, width: 11 }] : [])]} rowKey=${({ name }: Group) => name}
      card=${(group: Group) => html`
        <span class="card-line"><strong>${group.name}</strong> ${ofGroup(group)}</span>
        <span class="card-line soft">${[addresses(group), members(group)].filter((text) => text !== '').join(': ')}</span>`}
      empty=${html`<${Empty} title="No groups">Mail for the addresses of a group goes to its members.<//>`} />
  `;
}

type ButtonsProps = {
  name: string;
  what: 'alias' | 'group';
  path: string;
  text: string;
  change: () => void;
  after: () => unknown;
};

function Buttons({ name, what, path, text, change, after }: ButtonsProps) {
  return html`
    <div class="actions">
      <button type="button" class="small" aria-label=${`Change the ${what} ${name}`} onClick=${change}>Change</button>
      <${ActionButton} label="Remove" describe=${`Remove the ${what} ${name}`} kind="small" run=${() => remove(path)} after=${after}
        done=${`The ${what} ${name} is removed.`} confirm=${{ title: `Remove the ${what} ${name}?`, text, verb: `Remove the ${what}`, danger: true }} />
    </div>
  `;
}

const targets = (alias: Alias): string => alias.targets.join(', ');
const addresses = (group: Group): string => group.addresses.join(', ');
const members = (group: Group): string => group.members.join(', ');

const ALIASES = [
  { title: 'Alias', cell: ({ address }: Alias) => address, by: ({ address }: Alias) => address, width: 18 },
  { title: 'Leads to', cell: targets, by: targets },
];

const GROUPS = [
  { title: 'Group', cell: ({ name }: Group) => name, by: ({ name }: Group) => name, width: 12 },
  { title: 'Addresses', cell: addresses, by: addresses, width: 18 },
  { title: 'Members', cell: members, by: members },
];
