// @peculiar/x509 resolves its parts through decorators, which need this in place before it loads.
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { CURVES } from './certificates/describe.ts';

/** A certificate and its private key (PKCS#8), both PEM. */
export type CertificatePair = { certificate: string; key: string };

export type CertificateNames = { dns: string[]; ip?: string[] };

const EC_P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/**
 * A self-signed server certificate (EC P-256) for DNS names and IP addresses, valid from `from` for `days`.
 * For the sandbox and for tests: nobody outside has a reason to trust it.
 */
export async function createSelfSigned(
  names: CertificateNames,
  days: number,
  from: Date = new Date(),
): Promise<CertificatePair> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      ...validity(days, from),
      name: subject(names),
      signingAlgorithm: EC_P256,
      keys,
      extensions: peerExtensions(names, [ExtendedKeyUsage.serverAuth]),
    },
    webcrypto,
  );
  return pair(certificate, keys.privateKey);
}

/**
 * A certificate authority of our own (EC P-256), valid for `days`: it signs the certificates of peers and nothing else.
 */
export async function createAuthority(name: string, days: number): Promise<CertificatePair> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      ...validity(days, new Date()),
      name: `CN=${name}`,
      signingAlgorithm: EC_P256,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      ],
    },
    webcrypto,
  );
  return pair(certificate, keys.privateKey);
}

/**
 * A certificate (EC P-256) that `authority` signed, for a server, or for a peer that is a server to some and a client of
 * others.
 */
export async function issueCertificate(
  authority: CertificatePair,
  names: CertificateNames,
  { role, days }: { role: 'server' | 'peer'; days: number },
): Promise<CertificatePair> {
  const { serverAuth, clientAuth } = ExtendedKeyUsage;
  const keys = await newKeys();
  const der = createPrivateKey(authority.key).export({ format: 'der', type: 'pkcs8' });
  const certificate = await X509CertificateGenerator.create(
    {
      ...validity(days, new Date()),
      subject: subject(names),
      issuer: new X509Certificate(authority.certificate).subjectName,
      signingAlgorithm: EC_P256,
      publicKey: keys.publicKey,
      signingKey: await webcrypto.subtle.importKey('pkcs8', der, EC_P256, false, ['sign']),
      extensions: peerExtensions(names, role === 'server' ? [serverAuth] : [serverAuth, clientAuth]),
    },
    webcrypto,
  );
  return pair(certificate, keys.privateKey);
}

/**
 * What an authority knows a certificate by when it is asked for renewal information (RFC 9773 §4.1); undefined for one
 * that does not name the key of its issuer. `raw`: DER.
 */
export function renewalId(raw: Uint8Array): string | undefined {
  const certificate = new X509Certificate(Uint8Array.from(raw));
  const issuer = certificate.getExtension(AuthorityKeyIdentifierExtension)?.keyId;
  if (issuer === undefined) return undefined;
  // The value of the DER INTEGER: whole bytes, with a zero in front where the number would be negative.
  const { serialNumber } = certificate;
  const hex = serialNumber.length % 2 === 0 ? serialNumber : `0${serialNumber}`;
  const serial = /^[89a-f]/i.test(hex) ? `00${hex}` : hex;
  return [issuer, serial].map((text) => Buffer.from(text, 'hex').toString('base64url')).join('.');
}

/**
 * A request for a certificate (PKCS#10, PEM) for these host names, and its private key: `reused`, where authorities issue
 * certificates for such a key (RSA, or EC on a curve of NIST), else a new one (EC P-256).
 */
export async function createRequest(
  names: readonly string[],
  reused?: KeyObject,
): Promise<{ request: string; key: KeyObject }> {
  const { keys, algorithm } = (reused && pairOf(reused)) ?? { keys: await newKeys(), algorithm: EC_P256 };
  const request = await Pkcs10CertificateRequestGenerator.create(
    {
      keys,
      signingAlgorithm: algorithm,
      extensions: [new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns' as const, value })))],
    },
    webcrypto,
  );
  return { request: request.toString('pem'), key: await keyObject(keys.privateKey) };
}

/** A private key as Web Crypto signs with it; undefined for other kinds than RSA and EC on a curve of NIST. */
function pairOf(key: KeyObject) {
  const namedCurve = CURVES[key.asymmetricKeyDetails?.namedCurve ?? ''];
  const isRsa = key.asymmetricKeyType === 'rsa';
  if (!isRsa && namedCurve === undefined) return undefined;
  const algorithm = isRsa ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } : { ...EC_P256, namedCurve };
  const privateKey = key.toCryptoKey(algorithm, true, ['sign']);
  return { keys: { privateKey, publicKey: createPublicKey(key).toCryptoKey(algorithm, true, ['verify']) }, algorithm };
}

const newKeys = (): Promise<webcrypto.CryptoKeyPair> => webcrypto.subtle.generateKey(EC_P256, true, ['sign', 'verify']);

const subject = ({ dns, ip }: CertificateNames): string => `CN=${dns[0] ?? ip?.[0] ?? 'localhost'}`;

function validity(days: number, from: Date): { serialNumber: string; notBefore: Date; notAfter: Date } {
  return {
    // A positive number of at most 20 octets (RFC 5280 §4.1.2.2).
    serialNumber: `01${randomBytes(15).toString('hex')}`,
    notBefore: from,
    notAfter: new Date(from.getTime() + days * 86_400_000),
  };
}

function peerExtensions(names: CertificateNames, usages: ExtendedKeyUsage[]): Extension[] {
  return [
    new BasicConstraintsExtension(false),
    new ExtendedKeyUsageExtension(usages),
    new SubjectAlternativeNameExtension([
      ...names.dns.map((value) => ({ type: 'dns' as const, value })),
      ...(names.ip ?? []).map((value) => ({ type: 'ip' as const, value })),
    ]),
  ];
}

async function keyObject(privateKey: webcrypto.CryptoKey): Promise<KeyObject> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', privateKey));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

async function pair(certificate: X509Certificate, privateKey: webcrypto.CryptoKey): Promise<CertificatePair> {
  const key = await keyObject(privateKey);
  return {
    certificate: `${certificate.toString('pem')}\n`,
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}
