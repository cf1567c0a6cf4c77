import type { KeyObject, X509Certificate } from 'node:crypto';

/** What people call the parts of a certificate. */

/** Curves that every TLS client has (RFC 8446 §9.1, and the two that authorities issue besides). */
export const CURVES: Readonly<Record<string, string>> = {
  prime256v1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
};

/** `RSA 2048`, `P-256`, `Ed25519`. */
export function keyText({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string {
  const { modulusLength, namedCurve } = asymmetricKeyDetails ?? {};
  if (modulusLength !== undefined) return `RSA ${modulusLength}`;
  if (namedCurve !== undefined) return CURVES[namedCurve] ?? namedCurve;
  return (asymmetricKeyType ?? 'unknown').replace(/^e/, 'E');
}

/** All of a name, on one line; '' where it is empty: Node says undefined then, whatever its types say. */
export function fullName(name: string | undefined): string {
  return name?.replaceAll('\n', ', ') ?? '';
}

/** The common name, else all of a name. */
export function commonName(name: string | undefined): string {
  return /^CN=(.*)$/m.exec(name ?? '')?.[1] ?? (fullName(name) || 'no name');
}

/** What people call the holder of a certificate, whose names may be in the subjectAltName alone (RFC 5280 §4.1.2.6). */
export function subjectName({ subject, subjectAltName }: X509Certificate): string {
  const [first] = subjectAltName?.split(', ') ?? [];
  return fullName(subject) === '' && first !== undefined
    ? first.replace(/^(?:DNS|IP Address):/, '')
    : commonName(subject);
}
