import { isIP } from 'node:net';
import { z } from 'zod';
import { authorities, webUrl } from '../oauth.ts';
import { domain, duration, port, secret } from '../values.ts';

/** The web page for administrators, and its API. */

/** A scheme, a host and a port, as browsers name where a page comes from (RFC 6454 §6.2). */
const origin = z
  .string()
  .refine((text) => URL.canParse(text) && /^https:/.test(text) && new URL(text).origin === text, {
    error: 'expected https://host or https://host:port, in lower case and without a path',
  });

const role = z
  .enum(['viewer', 'operator'])
  .describe('viewer: sees everything but the text of mail; operator: sees and changes everything');

const domains = z
  .array(domain)
  .min(1)
  .max(100)
  .optional()
  .describe('domains that are all that is seen and changed; absent: every domain');

const person = z.strictObject({
  user: z
    .string()
    .min(1)
    .max(255)
    .describe('name of a user of the directory with which the person logs in, or the name at console.openid'),
  role,
  domains,
});

const token = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name is made of letters, digits, ., - and _')
    .describe('what the audit log calls its bearer'),
  token: secret.describe(
    'what a program shows as bearer token, of at least 20 characters: the text, { file: … } or { env: … }',
  ),
  role,
  domains,
});

const openid = z
  .strictObject({
    issuer: webUrl(/[?#]/, 'user, query and fragment').describe(
      'the provider, exactly as it names itself in its tokens (iss); the rest is found from here',
    ),
    'client-id': z.string().min(1).max(255).describe('name of the console at the provider'),
    'client-secret': secret.optional().describe('its secret there: the text, { file: … } or { env: … }'),
    'user-claim': z
      .string()
      .min(1)
      .max(255)
      .default('email')
      .describe(
        'claim with the name that console.people has: an address that the provider has verified (email_verified), or another claim that users cannot change',
      ),
    ca: authorities,
  })
  .optional()
  .describe('an OpenID provider to sign in at; it sends browsers back to <origin>/api/sign-in/openid/callback');

export const consoleSection = z
  .strictObject({
    address: z
      .string()
      .refine((text) => isIP(text) !== 0, 'not an IP address')
      .default('127.0.0.1')
      .describe('address that the console is served on; :: means every address, IPv4 too'),
    port: port.default(8443).describe('port of it'),
    origin: origin
      .optional()
      .describe(
        'how browsers reach it, such as https://console.example.com; default: https, node.hostname, and the port',
      ),
    certificate: z
      .string()
      .optional()
      .describe('PEM file: its certificate, then the chain; default: that of tls, else a self-signed one is made'),
    key: z.string().optional().describe('PEM file: the private key of it'),
    sessions: z
      .strictObject({
        idle: duration('30m', 60_000).describe('a session ends when nothing was asked for so long'),
        longest: duration('12h', 60_000).describe('a session ends after this, whatever happens'),
      })
      .prefault({}),
    people: z
      .array(person)
      .max(1000)
      .prefault([])
      .describe(
        'who may sign in with a password, or at console.openid; the command sealpost console link signs anybody in once',
      ),
    openid,
    tokens: z.array(token).max(100).prefault([]).describe('programs that use the API'),
  })
  .optional()
  .describe('the web page for administrators and its HTTPS API; absent: none');
