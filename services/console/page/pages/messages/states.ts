import type { MailState } from '#services/console/schemas/messages.ts';
import { html } from '/vendor/preact.js';
import { Badge, type Tone } from '../../kit/badge.ts';

/** The state of a message, and that of a recipient. */

const STATES: Record<MailState, Tone> = {
  waiting: 'wait',
  held: 'warn',
  delivered: 'good',
  failed: 'bad',
  refused: 'bad',
};

export const toneOf = (state: MailState): Tone => STATES[state];

export function MailBadge({ state }: { state: MailState }) {
  return html`<${Badge} tone=${STATES[state]}>${state}<//>`;
}

const RECIPIENTS: Record<string, Tone> = {
  waiting: 'wait',
  deferred: 'wait',
  delivered: 'good',
  failed: 'bad',
  expired: 'bad',
};

export function RecipientBadge({ state }: { state: string }) {
  return html`<${Badge} tone=${RECIPIENTS[state] ?? 'idle'}>${state}<//>`;
}

/** The null reverse-path as it is written. */
export const senderText = (from: string | undefined): string => (from === '' ? '<>' : (from ?? '–'));
