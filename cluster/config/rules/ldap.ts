import type { Problem } from '../problems/problem.ts';
import type { Config, LdapConfig } from '../schema/schema.ts';
import type { Rule } from './rule.ts';

/** Combinations that make no sense in `directory.ldap`. */

function logIn({ directory: { ldap } }: Config): Problem[] {
  if (ldap === undefined) return [];
  const path = ['directory', 'ldap'];
  if (ldap['bind-dn'] === undefined && ldap.password !== undefined) {
    return [{ path: [...path, 'password'], message: 'a password needs a DN: add directory.ldap.bind-dn' }];
  }
  if (ldap['bind-dn'] !== undefined && ldap.password === undefined) {
    return [{ path: [...path, 'bind-dn'], message: 'a DN needs a password: add directory.ldap.password' }];
  }
  return [];
}

export const LDAP_RULES: readonly Rule[] = [{ sections: ['directory'], check: logIn }];

/** What an administrator may want, but should know. */
export function ldapWarnings({ urls, starttls }: LdapConfig): string[] {
  const plain = starttls ? [] : urls.filter((url) => url.startsWith('ldap:') && !isThisMachine(url));
  return plain.map(
    (url) =>
      `directory.ldap.starttls is false, so ${url} gets the passwords of users in clear text: leave it out, or write ldaps://`,
  );
}

const isThisMachine = (url: string): boolean => /^ldap:\/\/(127\.[\d.]+|localhost|\[::1\])(:\d+)?\/?$/.test(url);
