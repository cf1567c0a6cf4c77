import { domainEntry } from '../entries.ts';
import { already, none, problem, taken, toDo } from '../plan.ts';
import { NOT_RUN, runs, type State } from './state.ts';

/**
 * Domains that mail is taken for from anybody: host_list. Haraka asks nobody for the mailboxes of such a domain and gives
 * its mail to a next hop, so it becomes one of `relay.allow.domains`, and `forwarding.ts` makes the route.
 */
export async function domains(state: State): Promise<void> {
  const { folder, tell, accepted, draft } = state;
  const on = runs(state, 'rcpt_to.in_host_list', 'rcpt_to.host_list_base');
  for (const { place, text } of await folder.lines('host_list')) {
    const domain = domainEntry(text);
    if (!on) tell(place, text, NOT_RUN('rcpt_to.in_host_list'));
    else if (domain === undefined) tell(place, text, problem('is not a domain: not taken'));
    else {
      accepted.push(domain);
      draft.add('relay.allow.domains', domain);
      tell(place, text, taken(`${domain}, with everything below it`, 'relay.allow.domains', 'routes'));
    }
  }
  for (const { place, text } of await folder.lines('host_list_regex')) {
    tell(
      place,
      text,
      on
        ? toDo('patterns have no counterpart: name the domains in relay.allow.domains, each with a route')
        : NOT_RUN('rcpt_to.in_host_list'),
    );
  }
  for (const { place, text } of await folder.lines('host_list.anti_spoof')) {
    tell(
      place,
      text,
      text === '0'
        ? already('not on')
        : none(
            'a sender of ours is checked of users who logged in; authenticity.dmarc refuses what strangers forge, where the domain has a DMARC record',
          ),
    );
  }
  for (const { section, place, key, value } of (await folder.ini('host_list.ini')).entries) {
    if (key === 'allow_subdomains') tell(place, `${key}=${value}`, already('a domain has everything below it'));
    else if (key !== '') tell(place, `[${section}] ${key}=${value}`, none('is not known to this import'));
  }
}
