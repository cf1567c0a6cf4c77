import type { ListsReply } from '#services/console/schemas/people.ts';
import { html } from '/vendor/preact.js';
import { Empty, shown } from '../../kit/layout.ts';
import { Table } from '../../kit/table.ts';
import { useData } from '../../state/data.ts';

/** Where mail for an address goes that no user has. */

type Alias = ListsReply['aliases'][number];
type Group = ListsReply['groups'][number];

export function Lists() {
  const lists = useData<ListsReply>('lists', {}, 10_000);
  return shown(
    lists,
    ({ aliases, groups }) => html`
      <h2>Aliases</h2>
      <${Table} label="Aliases" rows=${aliases} columns=${ALIASES} rowKey=${({ address }: Alias) => address} card=${aliasCard}
        empty=${html`<${Empty} title="No aliases"><code>sealpost aliases add</code> makes one.<//>`} />
      <h2>Groups</h2>
      <${Table} label="Groups" rows=${groups} columns=${GROUPS} rowKey=${({ name }: Group) => name} card=${groupCard}
        empty=${html`<${Empty} title="No groups"><code>sealpost groups add</code> makes one.<//>`} />
    `,
  );
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

const aliasCard = (alias: Alias) => html`
  <span class="card-line"><strong>${alias.address}</strong></span>
  <span class="card-line soft">${targets(alias)}</span>
`;

const groupCard = (group: Group) => html`
  <span class="card-line"><strong>${group.name}</strong> ${addresses(group)}</span>
  <span class="card-line soft">${members(group)}</span>
`;
