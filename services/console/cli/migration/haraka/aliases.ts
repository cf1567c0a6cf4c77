import { isMailbox } from '#shared/directory/values.ts';
import { errorText } from '#shared/errors.ts';
import { domainEntry } from '../entries.ts';
import { type Answer, none, problem, taken, toDo } from '../plan.ts';
import { NOT_RUN, runs, type State } from './state.ts';

/**
 * The file `aliases` (JSON) of the plugin aliases. An address of the same domains becomes an entry of `rewrite.canonical`,
 * which RCPT is looked up in. One elsewhere becomes a rule that redirects, since a map would make the recipient one that
 * strangers may not relay to; so does `drop`, to a domain whose route discards. Rules of one target stand together.
 */

/** No mail comes for it from elsewhere (RFC 2606). */
const DROPPED = 'dropped.invalid';

type Places = { map: Record<string, string>; redirects: Map<string, string[]> };

export async function aliases(state: State): Promise<void> {
  const { folder, tell, draft, accepted } = state;
  const text = await folder.text('aliases');
  if (text === undefined) return;
  if (!runs(state, 'aliases')) return tell('aliases', 'aliases', NOT_RUN('aliases'));
  const parsed = parseAliases(text);
  if ('problem' in parsed) return tell('aliases', 'aliases', problem(parsed.problem));
  const places: Places = { map: {}, redirects: new Map() };
  const domains = [...new Set(accepted)];
  for (const [key, entry] of Object.entries(parsed.entries)) {
    tell('aliases', `"${key}": ${JSON.stringify(entry)}`, answerTo(key, entry, domains, places));
  }
  if (Object.keys(places.map).length > 0)
    draft.add('rewrite.canonical', { map: places.map, of: ['envelope-recipient'] });
  let number = 0;
  for (const [redirect, to] of places.redirects)
    draft.add('rules', { name: redirect === DROPPED ? 'dropped' : `alias-${++number}`, when: { to }, redirect });
  if (places.redirects.has(DROPPED)) draft.merge('routes', 'to', { to: DROPPED, via: 'discard' });
}

function parseAliases(text: string): { entries: Record<string, unknown> } | { problem: string } {
  // An untouched file has comments alone.
  if (text.split('\n').every((line) => /^\s*(?:#.*)?$/.test(line))) return { entries: {} };
  try {
    const value: unknown = JSON.parse(text);
    if (value instanceof Object && !Array.isArray(value)) return { entries: value as Record<string, unknown> };
    return { problem: 'is not a JSON object: not taken' };
  } catch (error) {
    return { problem: `is not JSON: ${errorText(error)}: not taken` };
  }
}

function answerTo(key: string, entry: unknown, domains: readonly string[], places: Places): Answer {
  const { action, to } = (entry instanceof Object ? entry : {}) as Record<string, unknown>;
  const names = recipients(key, domains);
  if (names === undefined) return problem('is not user, user@domain or @domain: not taken');
  if (names.length === 0) return none('none of the domains that mail is accepted for has it');
  if (action === 'drop') {
    redirect(places, DROPPED, names);
    return taken(`accepted and discarded: ${names.join(', ')}`, 'rules', 'routes');
  }
  if (action !== 'alias') return problem(`"${String(action)}" is not drop or alias: not taken`);
  if (Array.isArray(to) && to.length > 1)
    return toDo(
      'an alias to several: make the domain local, with its mailboxes in the directory, and "sealpost aliases add"',
    );
  const target: unknown = Array.isArray(to) ? to[0] : to;
  if (typeof target !== 'string') return problem('names no address: not taken');
  return aliasAnswer(names, target, domains, places);
}

function aliasAnswer(names: readonly string[], target: string, domains: readonly string[], places: Places): Answer {
  const made: string[] = [];
  for (const name of names) {
    const address = target.includes('@') ? target : `${target}@${name.slice(name.lastIndexOf('@') + 1)}`;
    if (!isMailbox(address) || !/^[\x21-\x7e]+$/.test(address))
      return problem(`"${target}" is not an address: not taken`);
    const here = domains.includes(address.slice(address.lastIndexOf('@') + 1).toLowerCase());
    if (here && name.toLowerCase() === address.toLowerCase()) continue;
    if (here) places.map[name] = address;
    else redirect(places, address, [name]);
    made.push(here ? 'rewrite.canonical' : 'rules');
  }
  if (made.length === 0) return none('leads to itself');
  return taken(`${names.join(', ')} to ${target}`, ...new Set(made));
}

function redirect({ redirects }: Places, target: string, names: readonly string[]): void {
  // Of a whole domain a rule has the name.
  const to = names.map((name) => name.replace(/^@/, ''));
  redirects.set(target, [...new Set([...(redirects.get(target) ?? []), ...to])]);
}

/** The recipients that a key is for, `user@domain` or `@domain`; a key without a domain is for all that mail is taken for. */
function recipients(key: string, domains: readonly string[]): string[] | undefined {
  if (key === '*') return domains.map((domain) => `@${domain}`);
  const domain = key.startsWith('@') ? domainEntry(key.slice(1)) : undefined;
  if (key.startsWith('@')) return domain === undefined ? undefined : [`@${domain}`];
  const names = key.includes('@') ? [key] : domains.map((name) => `${key}@${name}`);
  return names.every(isMailbox) ? names : undefined;
}
