import { type Answer, already, none, taken, toDo } from '../plan.ts';
import { type Handler, number, oneOf, type Target } from './values.ts';

/** Settings of notes.ini about mail to groups, ambiguous names and the translation of addresses. */

/** What mail to groups can be, from lenient to strict: of two settings the stricter one counts. */
const GROUP_RULES = ['expand', 'pass-on', 'refuse-outsiders', 'refuse'];

const mailToGroups =
  (rule: string, text = rule) =>
  ({ draft }: Target): Answer => {
    const before = String(draft.get('directory.mail-to-groups') ?? 'expand');
    if (GROUP_RULES.indexOf(before) > GROUP_RULES.indexOf(rule)) return none(`another setting is stricter: ${before}`);
    draft.set('directory.mail-to-groups', rule);
    return taken(text, 'directory.mail-to-groups');
  };

const EXPANDED = already('mail to a group goes to its members');

export const GROUPS_AND_NAMES: Record<string, Handler> = {
  RouterDisableMailToGroups: oneOf({
    '0': EXPANDED,
    '1': mailToGroups('refuse', 'refuse: with 550 at RCPT, so that no report need go back'),
  }),
  SMTPDenyMailToGroups: oneOf({
    '0': EXPANDED,
    '1': mailToGroups('refuse-outsiders'),
    '2': mailToGroups('refuse'),
  }),
  SMTPSmartHostAllDisableGroupExpansion: oneOf({
    '0': EXPANDED,
    '1': mailToGroups('pass-on', 'pass-on: the domain needs a route to the host that expands groups'),
  }),
  SMTPDenyNotUniqueRCPT: oneOf({
    '0': toDo(
      'in directory.ldap: ambiguous: all, which delivers to everybody who has the name; refused is the default',
    ),
    '1': already('a name that several people have is refused with 550 5.1.4'),
  }),
  SMTPTranslateAddresses: oneOf({
    '0': already('no address is rewritten'),
    '1': toDo('rewrite.canonical with a map of addresses and of: [header-sender]'),
    '2': toDo('rewrite.canonical with a map of addresses'),
  }),
  SMTPTranslateLookupFullThenLocal: oneOf({
    '0': none('the full address is looked up, then its local part alone, always'),
    '1': already('the full address is looked up, then its local part alone'),
  }),
  SMTPTranslateAddressLookup: number({ least: 0, most: 9 }, () =>
    already('an entry of a map with a domain holds for domains that are not local, too'),
  ),
  SMTPTranslateAddressesPreserve822: oneOf({
    '0': already('a rewritten field does not stay'),
    '1': ({ draft }) => {
      draft.set('rewrite.keep-original', true);
      return taken('a rewritten field stays as X-Original-…', 'rewrite.keep-original');
    },
  }),
  RouterUseFromAsSMTPOriginator: oneOf({
    '0': already('the reverse-path is as MAIL gives it'),
    '1': ({ draft }) => {
      draft.set('rewrite.reverse-path', 'from');
      return taken('from: of mail that originates here', 'rewrite.reverse-path');
    },
  }),
};
