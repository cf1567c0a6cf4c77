import type { ListsReply } from '#services/console/schemas/people.ts';
import { html, useState } from '/vendor/preact.js';
import { FormDialog } from '../../kit/dialog.ts';
import { TextField } from '../../kit/form.ts';
import { post, put, segment } from '../../state/api.ts';
import { FirstEntry, type FormProps, lines, names } from './fields.ts';

/** What is asked before an alias or a group is added or changed. */

export type Alias = ListsReply['aliases'][number];
export type Group = ListsReply['groups'][number];

export function AliasForm({ of, first, onClose, after }: FormProps & { of?: Alias; first: boolean }) {
  const [address, setAddress] = useState(of?.address ?? '');
  const [targets, setTargets] = useState(of?.targets.join('\n') ?? '');
  const submit = async (): Promise<void> => {
    if (of === undefined) await post('aliases', { address: address.trim(), targets: lines(targets) });
    else await put(`aliases/${segment(of.address)}`, { targets: lines(targets) });
    after();
  };
  const [title, verb] =
    of === undefined ? ['Add an alias', 'Add the alias'] : [`Change the alias ${of.address}`, 'Change the alias'];
  return html`<${FormDialog} title=${title} verb=${verb} onClose=${onClose} submit=${submit} done=${`Mail for ${of?.address ?? address.trim()} goes there now.`}>
    ${first && html`<${FirstEntry} />`}
    ${of === undefined && html`<${TextField} label="Address" value=${address} onValue=${setAddress} required hint="Where a user has it, the alias leads that mail away." />`}
    <${TextField} label="Leads to" value=${targets} onValue=${setTargets} rows=${4} required hint="One address a line; they may be elsewhere. The address itself among them keeps a copy for its user." />
  <//>`;
}

export function GroupForm({ of, first, onClose, after }: FormProps & { of?: Group; first: boolean }) {
  const [name, setName] = useState(of?.name ?? '');
  const [addresses, setAddresses] = useState(of?.addresses.join('\n') ?? '');
  const [members, setMembers] = useState(of?.members.join('\n') ?? '');
  const submit = async (): Promise<void> => {
    const body = { addresses: lines(addresses), members: names(members) };
    if (of === undefined) await post('groups', { name: name.trim(), ...body });
    else await put(`groups/${segment(of.name)}`, body);
    after();
  };
  const [title, verb] =
    of === undefined ? ['Add a group', 'Add the group'] : [`Change the group ${of.name}`, 'Change the group'];
  const done = of === undefined ? `The group ${name.trim()} is there.` : `The group ${of.name} is changed.`;
  return html`<${FormDialog} title=${title} verb=${verb} onClose=${onClose} submit=${submit} done=${done}>
    ${first && html`<${FirstEntry} />`}
    ${of === undefined && html`<${TextField} label="Name" value=${name} onValue=${setName} required placeholder="staff" />`}
    <${TextField} label="Addresses" value=${addresses} onValue=${setAddresses} rows=${2} hint="One a line. Mail for them goes to the members; without any it is a part of other groups, or of rules." />
    <${TextField} label="Members" value=${members} onValue=${setMembers} rows=${5} hint="One a line: addresses, and names of users and of other groups." />
  <//>`;
}
