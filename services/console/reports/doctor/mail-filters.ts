import type { Member } from '#cluster/members/member-contract.ts';
import { listenerContract } from '#services/listener/contract.ts';
import type { Clients } from '../clients.ts';
import { askEach } from '../keys/key-list.ts';
import type { Finding, MailFilter } from './finding.ts';

/** Whether the mail filters can be asked, from every listener that asks them. */

/** How long a process may take before it counts as silent; it takes 2 s to find out that a filter is. */
const PATIENCE = { timeout: 4000 };

export async function gatherFilters({ client }: Clients, members: readonly Member[]): Promise<MailFilter[]> {
  const listeners = members.filter(({ state, services }) => state !== 'gone' && services.includes('listener'));
  const answers = await askEach(listeners, async ({ node, process }): Promise<MailFilter[]> => {
    try {
      const question = { checkFilters: true };
      const { filters = [] } = await client(listenerContract)['status-show'](question, { ...PATIENCE, node: process });
      return filters.map((filter) => ({ node, ...filter }));
    } catch {
      return [];
    }
  });
  return answers.flat();
}

export function filterFindings(filters: readonly MailFilter[]): Finding[] {
  const away = filters.filter(({ error }) => error !== undefined);
  // Listeners of one node say the same.
  const each = Map.groupBy(away, ({ node, name, url, error }) => JSON.stringify([node, name, url, error]));
  return [...each.values()].flatMap((same) => same.slice(0, 1)).map(awayFinding);
}

function awayFinding({ node, name, url, onTrouble, error }: MailFilter): Finding {
  const isDeferred = onTrouble === 'defer';
  const mail = isDeferred ? 'mail that it is to see is deferred' : 'mail that it is to see passes, with a mark';
  return {
    severity: isDeferred ? 'error' : 'warning',
    about: `node ${node}`,
    text: `cannot ask mail filter ${name} at ${url} (${error}): ${mail}`,
    help: 'see that it runs, that the listener of this node reaches it there, and that filters[].url and type are right',
  };
}
