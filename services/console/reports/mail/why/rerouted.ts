import { directiveText } from '#shared/directive.ts';
import type { QueuedMail, Rerouted } from './facts.ts';

/** Why the mail of a recipient does not go where its route says, in the order in which it happened. Pure. */

type Entry = QueuedMail['entry'];
type Recipient = Entry['recipients'][number];

export function reroutedBy({ via }: Entry, { recipient, redirected }: Recipient): Rerouted[] {
  const { redirectedBy: rule, routeOf, address } = recipient;
  const found: Rerouted[] = rule === undefined ? [] : [{ by: 'rule', to: routeOf ?? address, rule }];
  // What an operator says of one message comes before what is said of a domain (queue/routing.ts of the router).
  if (via !== undefined) found.push({ by: 'operator', to: via });
  else if (redirected !== undefined) found.push({ by: 'directive', to: redirected.via ?? 'mx' });
  return found;
}

/** `; …`, or nothing. `isOver`: the mail has gone there. */
export function reroutedText(entry: Entry, one: Recipient, isOver: boolean): string {
  return reroutedBy(entry, one)
    .map((found) => `; ${textOf(found, one, isOver)}`)
    .join('');
}

function textOf({ by, to, rule }: Rerouted, { recipient, redirected }: Recipient, isOver: boolean): string {
  switch (by) {
    case 'rule': {
      const { original = recipient.address, routeOf } = recipient;
      return routeOf === undefined
        ? `the rule "${rule}" redirected it from <${original}> to this address`
        : `the rule "${rule}" redirected it to the route of ${to}`;
    }
    case 'operator':
      return `an operator rerouted it to ${to}`;
    case 'directive':
      return `the mail to ${redirected?.name ?? 'its domain'} ${isOver ? 'was' : 'is'} redirected to ${to}${redirected === undefined ? '' : ` ${directiveText(redirected)}`}`;
  }
}
