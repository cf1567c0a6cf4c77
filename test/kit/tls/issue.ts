// @peculiar/x509 refuses to load without a reflect polyfill.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** Certificates of every kind, bad ones too. */

export type Issued = {
  name: string;
  /** PEM; `der` is the same certificate. */
  certificate: string;
  der: Buffer;
  /** PKCS#8 in PEM. */
  key: string;
  keys: CryptoKeyPair;
};

type CryptoKeyPair = webcrypto.CryptoKeyPair;

export type Kind = {
  /** Default: itself. */
  by?: Issued;
  /** Default: new ones. */
  keys?: CryptoKeyPair;
  ca?: boolean;
  /** DNS names; none: no subjectAltName. */
  names?: readonly string[];
  /** Extended key usages; default: serverAuth for a certificate that is not an authority's. */
  usages?: readonly string[];
  /** ms since 1970; default: a day ago until 90 days from now. */
  from?: number;
  until?: number;
  /** Bits of an RSA key; default: EC P-256. */
  rsa?: number;
  /** What the signature hashes with. */
  hash?: 'SHA-1' | 'SHA-256';
  /** Where the certificate of the issuer can be fetched. */
  issuerUrl?: string;
};

const DAY_MS = 86_400_000;

/** `name`: the common name of its subject; '': it has no subject. */
export async function issue(name: string, kind: Kind = {}): Promise<Issued> {
  const { by, ca = false, hash = 'SHA-256', from = Date.now() - DAY_MS, until = Date.now() + 90 * DAY_MS } = kind;
  const keys = kind.keys ?? (await newKeys(kind.rsa));
  const signer = by?.keys ?? keys;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString('hex'),
    subject: named(name),
    issuer: named(by?.name ?? name),
    notBefore: new Date(from),
    notAfter: new Date(until),
    signingAlgorithm: { name: signer.privateKey.algorithm.name, hash },
    publicKey: keys.publicKey,
    signingKey: signer.privateKey,
    extensions: extensionsOf(ca, kind),
  });
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    name,
    certificate: `${certificate.toString('pem')}\n`,
    der: Buffer.from(certificate.rawData),
    key: `${x509.PemConverter.encode(pkcs8, 'PRIVATE KEY')}\n`,
    keys,
  };
}

const named = (name: string): string => (name === '' ? '' : `CN=${name}`);

function newKeys(rsa: number | undefined): Promise<CryptoKeyPair> {
  const algorithm =
    rsa === undefined
      ? { name: 'ECDSA', namedCurve: 'P-256' }
      : {
          name: 'RSASSA-PKCS1-v1_5',
          modulusLength: rsa,
          publicExponent: new Uint8Array([1, 0, 1]),
          hash: 'SHA-256',
        };
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

function extensionsOf(ca: boolean, { names = [], usages, issuerUrl }: Kind): x509.Extension[] {
  const extended = usages ?? (ca ? [] : [x509.ExtendedKeyUsage.serverAuth]);
  return [
    new x509.BasicConstraintsExtension(ca, undefined, true),
    ...(ca ? [new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true)] : []),
    ...(extended.length === 0 ? [] : [new x509.ExtendedKeyUsageExtension([...extended])]),
    ...(names.length === 0
      ? []
      : [new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns' as const, value })))]),
    ...(issuerUrl === undefined ? [] : [new x509.AuthorityInfoAccessExtension({ caIssuers: issuerUrl })]),
  ];
}
