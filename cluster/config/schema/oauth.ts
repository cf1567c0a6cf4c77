import { z } from 'zod';
import { isProtected } from '#shared/web/protected-url.ts';
import { secret } from './values.ts';

/** Log-ins by token: the providers whose tokens users log in with, and what a route gets its own token with. */

/** A URL whose answers can be believed. Never repeated in a message: a password may be in it. */
export const webUrl = (forbidden: RegExp, without: string) =>
  z.string().refine((text) => isWebUrl(text) && !forbidden.test(text), {
    error: `expected https://host/… without ${without} (http:// only to this machine: 127.0.0.1, localhost)`,
  });

function isWebUrl(text: string): boolean {
  if (!URL.canParse(text) || text.length > 255 || /\s/.test(text)) return false;
  const url = new URL(text);
  return isProtected(url) && url.username === '' && url.password === '';
}

export const authorities = z
  .string()
  .optional()
  .describe('PEM file: the authorities for the certificate of the provider instead of the public ones');

/** The asymmetric ones of RFC 7518 and RFC 9864. With a symmetric one, whoever can check a token could make one. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

/** RFC 6749 §3.3. */
const scope = z
  .string()
  .max(255)
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'a scope is one word of printable ASCII without quotes and backslashes');

export const providerEntry = z.strictObject({
  issuer: webUrl(/[?#]/, 'user, query and fragment').describe(
    'the provider, exactly as it names itself in its tokens (iss); its keys are found from here',
  ),
  audience: z.string().min(1).describe('for whom tokens must be made out (aud): this mail service at the provider'),
  'user-claim': z
    .string()
    .min(1)
    .describe(
      'claim with the name of the user in the directory, such as preferred_username; one that users cannot change',
    ),
  scopes: z.array(scope).prefault([]).describe('scopes that a token must have'),
  algorithms: z
    .array(z.enum(ALGORITHMS))
    .min(1)
    .prefault([...ALGORITHMS])
    .describe('signature algorithms that are accepted'),
  ca: authorities,
});

export const routeOauth = z.strictObject({
  'token-endpoint': webUrl(/#/, 'user and fragment').describe('where the provider issues tokens'),
  'client-id': z.string().min(1).max(255).describe('name of this server at the provider'),
  'client-secret': secret.optional().describe('its secret there: the text, { file: … } or { env: … }'),
  'refresh-token': secret
    .optional()
    .describe('refresh token of the mailbox, as a secret; without it the grant is client credentials'),
  scope: z.string().min(1).max(1000).optional().describe('scopes to ask for, separated by spaces'),
  ca: authorities,
});
export type RouteOauth = z.output<typeof routeOauth>;
