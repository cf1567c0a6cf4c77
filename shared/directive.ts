import { z } from 'zod';
import { formatTime } from './units.ts';

/**
 * What an operator has told all routers of a cluster to do until a time: to suspend the mail to a domain or next hop, or of
 * a sender, or to redirect that of a domain.
 */

export const DirectiveKind = z.enum(['suspend', 'redirect']);
export const DirectiveAbout = z.enum(['domain', 'sender', 'destination']);
export const LONGEST_DIRECTIVE_MS = 90 * 86_400_000;
/** Directives in one answer or event. */
export const MOST_DIRECTIVES = 200;

/** What it is about: a domain with everything below it, an address or a domain of senders, or the key of a next hop. */
export const DirectiveSubject = z.object({
  kind: DirectiveKind,
  about: DirectiveAbout,
  name: z.string().min(1).max(1000),
});
export type DirectiveSubject = z.infer<typeof DirectiveSubject>;

export const Directive = DirectiveSubject.extend({
  /** ms since 1970: when it was given, and when it ends by itself. */
  at: z.number(),
  until: z.number(),
  /** When it is forgotten (services/router/directives/directives.ts). */
  keep: z.number(),
  /** Who gave it, for people. */
  by: z.string().max(255),
  reason: z.string().max(500).optional(),
  /** Where the mail goes instead, as in `via` of a route. */
  via: z.string().max(300).optional(),
  /** An operator ended it. */
  ended: z.boolean().optional(),
});
export type Directive = z.infer<typeof Directive>;

/** Who did it, until when and why: `by root on edge-1 until …: its disk is full`. */
export function directiveText({ by, until, reason }: Directive): string {
  return `by ${by} until ${formatTime(until)}${reason === undefined ? '' : `: ${reason}`}`;
}
