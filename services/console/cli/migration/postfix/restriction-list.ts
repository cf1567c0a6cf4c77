import { type Settings, unbraced, words } from './files/main-cf.ts';

/** A list of access restrictions (SMTPD_ACCESS_README) as its elements, those of restriction classes in their place. */

/** `reject_rbl_client zen.spamhaus.org`. `warned`: `warn_if_reject` stands before it, so it refuses nothing. */
export type Restriction = { name: string; argument: string; warned: boolean };

/** The lists that a recipient must pass, in the order of Postfix, and what a table is for that stands in them alone. */
export const RECIPIENT_LISTS = {
  smtpd_client_restrictions: 'check_client_access',
  smtpd_helo_restrictions: 'check_helo_access',
  smtpd_sender_restrictions: 'check_sender_access',
  smtpd_relay_restrictions: 'check_recipient_access',
  smtpd_recipient_restrictions: 'check_recipient_access',
} as const;

/** Restrictions that the next word belongs to. */
const WITH_ARGUMENT = /^(?:check_\w+|reject_(?:rbl_client|rbl|rhsbl_\w+)|permit_(?:dnswl_client|rhswl_client)|sleep)$/;
const DEEPEST = 5;

/** `access`: what a table that stands alone is for, such as check_recipient_access. */
export function restrictions(settings: Settings, list: string, access: string, depth = 0): Restriction[] {
  const found: Restriction[] = [];
  const classes = new Set(settings.list('smtpd_restriction_classes'));
  const queue = words(list);
  let warned = false;
  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    const inner = words(unbraced(word));
    if (inner.length > 1) queue.unshift(...inner);
    else if (word === 'warn_if_reject') warned = true;
    else {
      if (classes.has(word) && depth < DEEPEST)
        found.push(...restrictions(settings, settings.text(word), access, depth + 1));
      else if (WITH_ARGUMENT.test(word)) found.push({ name: word, argument: unbraced(queue.shift() ?? ''), warned });
      else if (/^\w+:./.test(word)) found.push({ name: access, argument: word, warned });
      else found.push({ name: word, argument: '', warned });
      warned = false;
    }
  }
  return found;
}

export const restrictionText = ({ name, argument, warned }: Restriction): string =>
  `${warned ? 'warn_if_reject ' : ''}${name}${argument === '' ? '' : ` ${argument}`}`;

/** What a row of an access table does (access(5)). A number alone means OK, but for the codes of refusals. */
export function actionOf(value: string): 'permit' | 'refuse' | 'nothing' | 'other' {
  if (/^(?:reject|defer|discard)\b|^[45]\d\d\b/i.test(value)) return 'refuse';
  if (/^(?:ok|permit)(?![\w-])|^\d+$/i.test(value)) return 'permit';
  return /^(?:dunno|prepend|warn|info)\b/i.test(value) ? 'nothing' : 'other';
}
