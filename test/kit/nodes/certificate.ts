// @peculiar/x509 refuses to load without a reflect polyfill.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;

export type CertificateOptions = {
  /** Host names and IP addresses that the certificate is for. */
  names?: readonly string[];
  /** ms since 1970; default: a day ago until a month from now. */
  notBefore?: number;
  notAfter?: number;
};

/** A certificate and its key, in PEM. */
export type Certificate = { certificate: string; key: string };

/** A certificate authority that exists for one test. */
export type Authority = {
  /** Its own certificate, in PEM: what a client must trust. */
  ca: string;
  issue(options?: CertificateOptions): Promise<Certificate>;
};

const newKeys = () => webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
const serial = () => Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString('hex');

export async function createAuthority(name = 'Test Authority'): Promise<Authority> {
  const keys = await newKeys();
  const issuer = `CN=${name}`;
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: issuer,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + 30 * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  });
  const issue = async (options: CertificateOptions = {}): Promise<Certificate> => {
    const names = options.names ?? ['localhost', '127.0.0.1'];
    const own = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serial(),
      subject: `CN=${names[0]}`,
      issuer,
      notBefore: new Date(options.notBefore ?? Date.now() - DAY_MS),
      notAfter: new Date(options.notAfter ?? Date.now() + 30 * DAY_MS),
      signingAlgorithm: ALGORITHM,
      publicKey: own.publicKey,
      signingKey: keys.privateKey,
      extensions: [
        new x509.SubjectAlternativeNameExtension(
          names.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
        ),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      ],
    });
    const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', own.privateKey);
    return { certificate: certificate.toString('pem'), key: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY') };
  };
  return { ca: root.toString('pem'), issue };
}

export type CertificateFiles = Certificate & { ca: string; caFile: string; certificateFile: string; keyFile: string };

/** Make an authority and a certificate of it, and write `ca.pem`, `cert.pem` and `key.pem` into a folder. */
export async function writeCertificate(dir: string, options: CertificateOptions = {}): Promise<CertificateFiles> {
  const authority = await createAuthority();
  const issued = await authority.issue(options);
  const files = {
    caFile: join(dir, 'ca.pem'),
    certificateFile: join(dir, 'cert.pem'),
    keyFile: join(dir, 'key.pem'),
  };
  await writeFile(files.caFile, authority.ca);
  await writeFile(files.certificateFile, issued.certificate);
  await writeFile(files.keyFile, issued.key, { mode: 0o600 });
  return { ca: authority.ca, ...issued, ...files };
}
