import { domainEntry, isEverybody, networkEntry } from '../entries.ts';
import { parseHop, viaOf } from '../next-hop.ts';
import { type Answer, already, none, problem, taken, toDo } from '../plan.ts';
import { answerIni, NOT_RUN, runs, type State } from './state.ts';

/**
 * Who may relay: relay.ini, relay_acl_allow and relay_dest_domains.ini of the plugin relay. What the plugin relay_all or
 * `all=true` makes is an open relay, which is asked about.
 */

/** Older versions had a plugin for each part. */
const PARTS = { acl: 'relay_acl', all: 'relay_all', force_routing: 'relay_force_routing', dest_domains: 'relay_acl' };

export async function relaying(state: State): Promise<void> {
  const { folder, tell } = state;
  const ini = await folder.ini('relay.ini');
  const on = runs(state, 'relay');
  const part = (name: keyof typeof PARTS, fallback: boolean): boolean =>
    (on && ini.yes(name, fallback, 'relay')) || runs(state, PARTS[name]);
  if (on) {
    answerIni(state, ini, {
      'relay.acl': taken('relay_acl_allow, below', 'relay.allow.hosts'),
      'relay.force_routing': taken('relay_dest_domains.ini, below', 'routes'),
      'relay.dest_domains': taken('relay_dest_domains.ini, below', 'relay.allow.domains'),
      'relay.all': ({ value }) =>
        part('all', false) ? everybody(state, `relay.ini has all=${value}`) : already('no open relay'),
    });
  } else if (folder.has('relay.ini')) tell('relay.ini', 'relay.ini', NOT_RUN('relay'));
  if (runs(state, 'relay_all')) tell('plugins', 'relay_all', everybody(state, 'the plugin relay_all runs'));
  await allowed(state, part('acl', true));
  await destinations(state, part('dest_domains', false), part('force_routing', true));
}

function everybody({ draft, choice, openings }: State, why: string): Answer {
  openings.push(why);
  if (!choice.openRelay) return problem('would open the relay for everybody: not taken');
  draft.add('relay.allow.hosts', '*');
  return taken('an OPEN RELAY', 'relay.allow.hosts');
}

async function allowed(state: State, on: boolean): Promise<void> {
  const { folder, draft, choice, openings, tell } = state;
  for (const { place, text } of await folder.lines('relay_acl_allow')) {
    const entry = networkEntry(text);
    if (!on) tell(place, text, NOT_RUN('relay'));
    else if (entry === undefined) tell(place, text, problem('is not an address or a network: not taken'));
    else if (isEverybody(entry)) {
      openings.push(`relay_acl_allow has ${text}`);
      if (choice.openRelay) draft.add('relay.allow.hosts', entry);
      tell(
        place,
        text,
        choice.openRelay ? taken('an OPEN RELAY', 'relay.allow.hosts') : problem('would open the relay: not taken'),
      );
    } else {
      draft.add('relay.allow.hosts', entry);
      tell(place, text, taken(entry, 'relay.allow.hosts'));
    }
  }
}

/** `test.com = { "action": "accept", "nexthop": "127.0.0.1:2525" }` in the section domains. */
async function destinations(state: State, domains: boolean, routing: boolean): Promise<void> {
  const { folder, draft, accepted } = state;
  const ini = await folder.ini('relay_dest_domains.ini');
  answerIni(state, ini, {}, ({ section, key, value }) => {
    if (section !== 'domains') return none('only the section domains counts');
    if (!domains && !routing) return NOT_RUN('relay');
    const name = key === 'any' && routing ? '*' : domainEntry(key);
    const rule = ruleOf(value);
    if (name === undefined || rule === undefined) return problem('is not a domain and its rule: not taken');
    const done: string[] = [];
    if (domains && rule.action === 'deny') {
      draft.add('relay.deny.domains', name);
      done.push('relay.deny.domains');
    } else if (domains && rule.action !== undefined && name !== '*') {
      draft.add('relay.allow.domains', name);
      accepted.push(name);
      done.push('relay.allow.domains');
    }
    const hop = rule.nexthop === undefined ? undefined : parseHop(rule.nexthop);
    if (routing && rule.nexthop !== undefined && hop === undefined)
      return toDo(`"${rule.nexthop}" is not host:port: make a route to ${name}`);
    if (routing && hop !== undefined) {
      draft.merge('routes', 'to', { to: name, via: viaOf(hop) });
      done.push('routes');
    }
    return done.length === 0
      ? none('says nothing of relaying or routes that are on')
      : taken(`${name}, with everything below it`, ...done);
  });
}

function ruleOf(text: string): { action?: string; nexthop?: string } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!(value instanceof Object)) return undefined;
    const { action, nexthop } = value as Record<string, unknown>;
    return {
      ...(typeof action === 'string' && { action }),
      ...(typeof nexthop === 'string' && { nexthop }),
    };
  } catch {
    return undefined;
  }
}
