import type { Member } from '#cluster/members/member-contract.ts';
import { policyContract } from '#services/policy/contract.ts';
import type { Clients } from '../clients.ts';
import { askEach } from '../keys/key-list.ts';
import type { Finding, LdapServer } from './finding.ts';

/** Whether the LDAP servers can be asked, from every node that asks them. */

/** How long a process may take before it counts as silent; it takes 2 s to find out that a server is. */
const PATIENCE = { timeout: 4000 };

export async function gatherLdap({ client }: Clients, members: readonly Member[]): Promise<LdapServer[]> {
  const policies = members.filter(({ state, services }) => state !== 'gone' && services.includes('policy'));
  const answers = await askEach(policies, async ({ node, process }): Promise<LdapServer[]> => {
    try {
      const { ldap } = await client(policyContract)['status-show']({}, { ...PATIENCE, node: process });
      return ldap.map((server) => ({ node, ...server }));
    } catch {
      return [];
    }
  });
  return answers.flat();
}

export function ldapFindings(servers: readonly LdapServer[]): Finding[] {
  const help =
    'see that it runs and that this node reaches it; the certificate and the log-in of bind-dn must be right';
  return [...Map.groupBy(servers, ({ node }) => node)].flatMap(([node, own]): Finding[] => {
    const about = `node ${node}`;
    const away = own.filter(({ error }) => error !== undefined);
    if (away.length > 0 && away.length === own.length) {
      const each = away.map(({ url, error }) => `${url}: ${error}`).join('; ');
      const text = `can ask no LDAP server (${each}): mail and log-ins of names that only LDAP knows are deferred`;
      return [{ severity: 'error', about, text, help }];
    }
    return away.map(({ url, error }) => {
      const text = `cannot ask LDAP server ${url} (${error}); others answer`;
      return { severity: 'warning', about, text, help };
    });
  });
}
