import type { KeyObject, X509Certificate } from 'node:crypto';
import type { Certificates } from '#cluster/config/pem.ts';

/** What the certificates of one file make of each other: the way from the server's own to an authority. */

export type Chain = {
  /** The certificate of this host, then that of its issuer, and so on, as far as the file has them. */
  path: Certificates;
  /** The place of each in the file. */
  places: readonly number[];
  /** Where it leads: to a public authority, to another one in the file, nowhere else, or to one that is not there. */
  end: 'public' | 'private' | 'self-signed' | 'missing';
};

/** `key` tells which certificate is the host's own. `roots`: the public authorities. */
export function chainOf(file: Certificates, key: KeyObject | undefined, roots: readonly X509Certificate[]): Chain {
  const path: [X509Certificate, ...X509Certificate[]] = [ownOf(file, key)];
  for (let last: X509Certificate | undefined = path[0]; last !== undefined && !isSelfSigned(last); ) {
    const child: X509Certificate = last;
    last = file.find((issuer) => !path.includes(issuer) && isIssuedBy(child, issuer));
    if (last !== undefined) path.push(last);
  }
  return { path, places: path.map((certificate) => file.indexOf(certificate)), end: endOf(path, roots) };
}

/** The one that the key fits; else the first that is not an authority's. */
function ownOf(file: Certificates, key: KeyObject | undefined): X509Certificate {
  const fits = key && file.find((certificate) => certificate.checkPrivateKey(key));
  return fits ?? file.find((certificate) => !certificate.ca) ?? file[0];
}

/** A certificate in the middle may have been issued by a public authority too (cross-signing): that is enough. */
function endOf(path: Certificates, roots: readonly X509Certificate[]): Chain['end'] {
  const isKnown = (one: X509Certificate): boolean =>
    roots.some((root) => isSameAuthority(one, root) || isIssuedBy(one, root));
  if (path.some(isKnown)) return 'public';
  const last = path.at(-1) ?? path[0];
  if (!isSelfSigned(last)) return 'missing';
  return path.length === 1 ? 'self-signed' : 'private';
}

function isSameAuthority(one: X509Certificate, root: X509Certificate): boolean {
  return one.subject === root.subject && one.publicKey.equals(root.publicKey);
}

export function isSelfSigned(certificate: X509Certificate): boolean {
  return isIssuedBy(certificate, certificate);
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  if (!certificate.checkIssued(issuer)) return false;
  try {
    return certificate.verify(issuer.publicKey);
  } catch {
    // A key of another kind than the signature.
    return false;
  }
}
