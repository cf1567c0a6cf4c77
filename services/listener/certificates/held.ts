import { assertInTime, hostNames, pemOf, usablePair } from '#cluster/certificates/pair.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import { errorText } from '#shared/errors.ts';
import { type StoredCertificate, unwrapCertificateKey } from '#shared/tls/stored-certificate.ts';
import { type Material, serverContext } from '../tls-material.ts';

/** Certificates that this process has opened, and which of them a client gets. */

export type HeldCertificate = {
  stored: StoredCertificate;
  names: readonly string[];
  /** SHA-256 of the certificate, hex in pairs with colons. */
  fingerprint: string;
  /** ms since 1970 */
  until: number;
  material: Material;
};

/**
 * Open a certificate. Fails with `nek-mismatch`, `key-damaged` or `tls-material`. `late`: why clients that look at dates
 * would refuse it.
 */
export function openCertificate(
  stored: StoredCertificate,
  neks: readonly Nek[],
): { held: HeldCertificate; late: string | undefined } {
  const what = `certificate ${stored.name}`;
  const key = unwrapCertificateKey(neks, stored);
  const chain = usablePair(what, stored.chain, key);
  const [own] = chain;
  let late: string | undefined;
  try {
    assertInTime(what, chain, Date.now());
  } catch (error) {
    late = errorText(error);
  }
  const pair = { cert: stored.chain, key: pemOf(key) };
  const held = {
    stored,
    names: hostNames(own),
    fingerprint: own.fingerprint256,
    until: own.validToDate.getTime(),
    material: { pair, context: serverContext(pair), certificate: own },
  };
  return { held, late };
}

/** The certificate for everyone who asks for no other: the configured one, that for node.hostname, or the only one. */
export function defaultOf(
  all: readonly HeldCertificate[],
  { tls, node }: Pick<Config, 'tls' | 'node'>,
): HeldCertificate | undefined {
  if (tls?.credential !== undefined) return all.find(({ stored }) => stored.name === tls.credential);
  const above = `*.${node.hostname.slice(node.hostname.indexOf('.') + 1)}`;
  const own = longestFirst(all).find(({ names }) => names.includes(node.hostname) || names.includes(above));
  return own ?? (all.length === 1 ? all[0] : undefined);
}

/** The certificate for each name; of several for one name the default's, else the one that is valid longest. */
export function byName(all: readonly HeldCertificate[], standard: HeldCertificate | undefined): Map<string, Material> {
  const inOrder = [...(standard === undefined ? [] : [standard]), ...longestFirst(all)];
  const materials = new Map<string, Material>();
  for (const { names, material } of inOrder.reverse()) for (const name of names) materials.set(name, material);
  if (standard !== undefined) materials.set('*', standard.material);
  return materials;
}

const longestFirst = (all: readonly HeldCertificate[]): HeldCertificate[] =>
  all.toSorted((a, b) => b.until - a.until || (a.stored.name < b.stored.name ? -1 : 1));
