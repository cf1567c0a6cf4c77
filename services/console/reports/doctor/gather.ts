import type { Config } from '#cluster/config/schema/schema.ts';
import { memberContract } from '#cluster/members/member-contract.ts';
import { gatherCertificatesIfAny } from '../certificates/facts.ts';
import type { Clients } from '../clients.ts';
import type { CredentialStore } from '../keys/key-list.ts';
import { gatherConsoles } from './consoles.ts';
import { gatherExposures } from './exposure.ts';
import { gatherDamage, gatherFacts } from './facts.ts';
import type { Facts } from './finding.ts';
import { gatherLdap } from './ldap.ts';
import { gatherFilters } from './mail-filters.ts';
import { gatherSentMail } from './sent-mail.ts';
import { gatherWaitingMail } from './waiting-mail.ts';
import { gatherWebhooks } from './webhooks.ts';

/** All that doctor looks at, of every node; `domain`: only the keys that sign its mail. */
export async function gatherDoctor(
  clients: Clients,
  store: CredentialStore,
  config: Config,
  domain?: string,
): Promise<Facts> {
  // Keys can be looked at also where no process lists the others.
  const { members } = await clients
    .client(memberContract)
    ['member-list']({})
    .catch(() => ({ members: [] }));
  const [sent, waiting, damage, exposures, ldap, filters, certificates, webhooks, consoles] = await Promise.all([
    gatherSentMail(clients, members),
    gatherWaitingMail(clients, members),
    gatherDamage(clients),
    gatherExposures(clients, members),
    gatherLdap(clients, members),
    gatherFilters(clients, members),
    gatherCertificatesIfAny(store, clients, members),
    gatherWebhooks(clients, members),
    gatherConsoles(clients, members),
  ]);
  const others = { waiting, exposures, ldap, filters, certificates, webhooks, consoles };
  return gatherFacts(store, config, { ...sent, ...damage, members, ...others }, domain);
}
