import { normalizeDomain } from '../address/address.ts';
import { SealpostError } from '../errors.ts';
import { dkimRecordName } from './record.ts';

/**
 * RFC 6376 §3.1, §3.5: d= and s= are sub-domains of RFC 5321, that is letters, digits and inner hyphens. An underscore
 * is legal in DNS and some signers use it, but strict verifiers reject such a signature; so no key is made with one. A
 * key that exists is taken in with it: its record is published, and most verifiers accept it.
 */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const SELECTOR_LABEL_IN_USE = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

export type KeyName = { domain: string; selector: string };

/** Domain and selector as they are stored: lower case, A-labels, no root dot. For lookups; checks nothing. */
export function normalizeKeyName(name: KeyName): KeyName {
  return { domain: normalizeDomain(name.domain), selector: name.selector.toLowerCase() };
}

/** The normalized name of a key to be made. Fails with `invalid-name`. */
export function checkKeyName(name: KeyName): KeyName {
  return check(name, LABEL);
}

/** The normalized name of a key that another program made. Fails with `invalid-name`. */
export function checkNameInUse(name: KeyName): KeyName {
  return check(name, SELECTOR_LABEL_IN_USE);
}

function check(name: KeyName, selectorLabel: RegExp): KeyName {
  const normalized = normalizeKeyName(name);
  const { domain, selector } = normalized;
  const labels = domain.split('.');
  if (!labels.every((l) => LABEL.test(l)) || labels.length < 2) {
    throw invalid(
      `"${name.domain}" cannot have a key: a signing domain is two or more labels of letters, digits and -`,
    );
  }
  if (!selector.split('.').every((l) => selectorLabel.test(l))) {
    throw invalid(
      `"${name.selector}" is not a selector: use letters, digits and inner hyphens, parts joined by dots; strict verifiers reject "_"`,
    );
  }
  const record = dkimRecordName(normalized);
  if (record.length > 253) throw invalid(`"${record}" has ${record.length} characters, but a DNS name has at most 253`);
  return normalized;
}

function invalid(message: string): SealpostError {
  return new SealpostError('invalid-name', message);
}
