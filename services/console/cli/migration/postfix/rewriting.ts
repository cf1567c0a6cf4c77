import { isMailbox } from '#shared/directory/values.ts';
import { type Answer, already, none, problem, taken, toDo } from '../plan.ts';
import { originOf } from './files/main-cf.ts';
import type { State } from './state.ts';

/** canonical_maps and its like (ADDRESS_REWRITING_README), which are `rewrite.canonical` here. */

/** The maps in the order in which Postfix asks them, the parameter with their classes, and the default of that. */
const MAPS = [
  ['sender_canonical_maps', 'sender_canonical_classes', 'envelope_sender, header_sender'],
  ['recipient_canonical_maps', 'recipient_canonical_classes', 'envelope_recipient, header_recipient'],
  ['canonical_maps', 'canonical_classes', 'envelope_sender, envelope_recipient, header_sender, header_recipient'],
] as const;

/** How its documentation connects it. */
const POSTSRSD = /^(?:tcp:.*:1000[12]$|socketmap:.*srs)/;

const CLASSES = ['envelope-sender', 'envelope-recipient', 'header-sender', 'header-recipient'];

export async function rewriting(state: State): Promise<void> {
  const { settings, tables, draft, say, tell } = state;
  for (const [maps, classes, fallback] of MAPS) {
    const text = settings.has(classes) ? settings.text(classes) : fallback;
    const of = text
      .split(/[\s,]+/)
      .map((c) => c.replaceAll('_', '-'))
      .filter((c) => CLASSES.includes(c));
    if (settings.has(classes)) say(classes, taken(of.join(', '), 'rewrite.canonical[].of'));
    if (settings.has(maps) && settings.list(maps).length === 0) say(maps, already('no table'));
    for (const spec of settings.list(maps)) {
      if (POSTSRSD.test(spec)) {
        say(
          maps,
          toDo('postsrsd, as it seems: rewrite.srs: { domain: … } with its SRS_DOMAIN does what it does'),
          spec,
        );
        continue;
      }
      const table = await tables.read(spec);
      if ('unread' in table) {
        say(maps, problem(`${table.unread}: not taken`), spec);
        continue;
      }
      say(
        maps,
        taken(
          'row by row, below; of mail that originates here, for others but the recipient of RCPT',
          'rewrite.canonical',
        ),
        spec,
      );
      const map: Record<string, string> = {};
      for (const { place, key, value } of table.rows)
        tell(place, `${key} ${value}`, row(key, value, map, originOf(settings)));
      if (Object.keys(map).length > 0 && of.length > 0) draft.add('rewrite.canonical', { map, of });
    }
  }
}

function row(key: string, value: string, map: Record<string, string>, origin: string): Answer {
  const target = value === '' || value.includes('@') ? value : `${value}@${origin}`;
  const fits = isMailbox(key) || isMailbox(`x${key}`) || isMailbox(`${key}@x.example`);
  const ascii = /^[\x21-\x7e]+$/.test(target);
  if (!fits || !ascii || !isMailbox(target.startsWith('@') ? `x${target}` : target)) {
    return problem('is not an address and what it becomes: not taken');
  }
  if (Object.keys(map).some((k) => k.toLowerCase() === key.toLowerCase())) return none('a row above has this address');
  map[key] = target;
  return taken(target, 'rewrite.canonical');
}
