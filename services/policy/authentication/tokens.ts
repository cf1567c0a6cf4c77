import { decodeJwt, errors, type JWTPayload } from 'jose';
import type { ProviderConfig } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import type { Logger } from '#shared/log.ts';
import { printable } from '#shared/text.ts';
import { ProviderKeys, Undecided } from './provider-keys.ts';

/**
 * Access tokens of OpenID providers (RFC 9068), which users log in with in place of a password.
 *
 * A token is a signed statement of a provider: who (the claim that the configuration names), for whom (`aud`), until when.
 * It is believed only where the provider's key has signed it, with an asymmetric algorithm that is allowed: `none` and
 * HMAC never are. A token of a provider that is not configured is refused unread; nothing in it can make us ask anybody.
 */

/** `expired`: it was right once, so its bearer guesses nothing. `undecided`: the provider is away. */
export type TokenVerdict =
  | { state: 'right' }
  | { state: 'wrong'; problem: string; expired: boolean }
  | { state: 'undecided'; problem: string };

/** What a token says, before anything of it is proven. */
export type Token = { user: string; check: () => Promise<TokenVerdict> };

/** How far the clocks of provider and server may be apart. */
const CLOCK_SKEW_S = 60;

export class Tokens {
  readonly #settings: Settings;
  readonly #log: Logger;
  readonly #keys = new Map<string, { ca: string | undefined; keys: ProviderKeys }>();

  constructor(settings: Settings, log: Logger) {
    this.#settings = settings;
    this.#log = log;
  }

  /** `user` is '' where the token names none that a directory could have. */
  read(bytes: Uint8Array): Token {
    const refused = (problem: string, user = ''): Token => ({
      user,
      check: async () => ({ state: 'wrong', problem, expired: false }),
    });
    const text = Buffer.from(bytes).toString('latin1');
    const claims = claimsOf(text);
    if (claims === undefined) return refused('the token is not a JWT (RFC 7519)');
    const issuer = typeof claims.iss === 'string' ? claims.iss : '';
    const provider = this.#settings.current.authentication.oauth.find((p) => p.issuer === issuer);
    if (provider === undefined) return refused(`"${printable(issuer)}" is not an issuer of authentication.oauth`);
    const user = userIn(claims, provider);
    if (user === '') return refused(`the token has no claim ${provider['user-claim']} with the name of a user`);
    return { user, check: () => this.#check(text, provider) };
  }

  async #check(token: string, provider: ProviderConfig): Promise<TokenVerdict> {
    const { issuer, audience, algorithms } = provider;
    const options = { issuer, audience, algorithms, clockTolerance: CLOCK_SKEW_S, requiredClaims: ['exp'] };
    try {
      const claims = await this.#keysOf(provider).verify(token, options);
      const problem = missing(claims, provider);
      return problem === undefined ? { state: 'right' } : { state: 'wrong', problem, expired: false };
    } catch (error) {
      if (error instanceof Undecided) return { state: 'undecided', problem: error.message };
      if (error instanceof errors.JOSEError) {
        return { state: 'wrong', problem: problemOf(error), expired: error instanceof errors.JWTExpired };
      }
      // A key that cannot be used: too short, on no curve, of wrong types.
      const reason = error instanceof Error ? printable(error.message) : '';
      return { state: 'undecided', problem: `provider ${issuer}: its key cannot be used: ${reason}` };
    }
  }

  #keysOf({ issuer, ca }: ProviderConfig): ProviderKeys {
    const known = this.#keys.get(issuer);
    if (known !== undefined && known.ca === ca) return known.keys;
    const configured = new Set(this.#settings.current.authentication.oauth.map((provider) => provider.issuer));
    for (const other of this.#keys.keys()) if (!configured.has(other)) this.#keys.delete(other);
    const keys = new ProviderKeys({ issuer, ca }, this.#log);
    this.#keys.set(issuer, { ca, keys });
    return keys;
  }
}

function claimsOf(token: string): JWTPayload | undefined {
  try {
    return decodeJwt(token);
  } catch (error) {
    if (error instanceof errors.JWTInvalid) return undefined;
    throw error;
  }
}

function userIn(claims: JWTPayload, provider: ProviderConfig): string {
  const user = claims[provider['user-claim']];
  return typeof user === 'string' && user.length <= 255 && !/\p{Cc}/u.test(user) ? user : '';
}

/** What a token that the provider has signed for us lacks. */
function missing(claims: JWTPayload, provider: ProviderConfig): string | undefined {
  // Anybody could have entered it there. Some providers write the claim as text.
  if (provider['user-claim'] === 'email' && String(claims['email_verified']) !== 'true') {
    return 'the provider does not say that it has verified the email address of the token (email_verified)';
  }
  // RFC 8705 §3, RFC 9449 §6: such a token is worth nothing without a proof that its bearer holds the key.
  if (claims['cnf'] !== undefined) return 'the token is bound to a key of its holder, which SMTP cannot prove';
  const granted = new Set(['scope', 'scp'].flatMap((name) => words(claims[name])));
  const absent = provider.scopes.filter((scope) => !granted.has(scope));
  return absent.length === 0 ? undefined : `the token has no scope ${absent.join(', ')}`;
}

/** RFC 8693 §4.2: words in one text. `scp`, and lists, are what Microsoft and Okta write. */
function words(claim: unknown): string[] {
  if (typeof claim === 'string') return claim.split(' ');
  return Array.isArray(claim) ? claim.filter((word) => typeof word === 'string') : [];
}

function problemOf(error: InstanceType<typeof errors.JOSEError>): string {
  if (error instanceof errors.JWTExpired) return 'the token has expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    return `the claim ${error.claim} of the token ${error.reason === 'missing' ? 'is missing' : 'does not fit'}`;
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return 'the token is signed with an algorithm that is not allowed';
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return 'the signature of the token is not by its provider';
  if (error instanceof errors.JWKSNoMatchingKey) return 'the provider has no key that the token is signed with';
  return 'the token is malformed';
}
