import { z } from 'zod';
import { isProtected } from '#shared/web/protected-url.ts';
import { EVENT_FAMILIES, EVENT_TYPES } from '#shared/webhooks/events.ts';
import { duration, listedDomain, secret } from '../values.ts';

/** The entries of `webhooks`: who is told of events. */

const LONGEST_URL = 2000;

/** It is never repeated in a message: it may have a token in it. */
function isReceiver(text: string): boolean {
  if (!URL.canParse(text) || text.length > LONGEST_URL || /\s/.test(text)) return false;
  const url = new URL(text);
  return isProtected(url) && url.username === '' && url.password === '' && url.hash === '';
}

const EVENT_WORDS = [...EVENT_FAMILIES, ...EVENT_TYPES] as [string, ...string[]];

export const webhookEntry = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name is made of letters, digits, ".", "_" and "-"')
    .describe('name in logs, metrics and commands; what waits for it is kept under this name'),
  url: z
    .string()
    .refine(isReceiver, {
      error: 'expected https://host/… without user and fragment (http:// only to this machine: 127.0.0.1, localhost)',
    })
    .describe('where events are posted: https://…, or http:// to this machine'),
  secret: secret.describe(
    'what events are signed with, whsec_ and the base64 of 24 to 64 bytes: the text, { file: … } or { env: … }',
  ),
  'previous-secret': secret
    .optional()
    .describe('the secret before: events are signed with both, until every receiver has the new one'),
  events: z
    .array(z.enum(EVENT_WORDS).meta({ kind: 'type of event (webhooks.md)' }))
    .min(1)
    .describe('types of events that it is told; message.*, key.* and so on: all of a family'),
  domains: z
    .array(listedDomain)
    .min(1)
    .prefault(['*'])
    .describe(
      'only what is about these domains and those below them: the sender or the recipient of a message, the domain of a key, a name in a certificate; alarms about no domain come in any case',
    ),
  timeout: duration('10s', 100, 60_000).describe('how long one request may take, at most 1m'),
  ca: z
    .string()
    .optional()
    .describe('PEM file: the authorities for the certificate of the receiver instead of the public ones'),
});
export type WebhookConfig = z.output<typeof webhookEntry>;
