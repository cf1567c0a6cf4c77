import type { KeyObject } from 'node:crypto';

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

/** What people call the holder of a certificate: its common name, else all of its name. */
export function commonName(name: string): string {
  return /^CN=(.*)$/m.exec(name)?.[1] ?? name.replaceAll('\n', ', ');
}
