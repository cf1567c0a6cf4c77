import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { CertificatePair } from '#cluster/certificate.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { unreadable } from '#cluster/config/secrets.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { replaceFile } from '#shared/files/replace.ts';
import { originOf } from './deps.ts';

/**
 * The certificate of the console: its own, else that of the listeners, else a self-signed one that is made in `node.data` and
 * kept, so that a browser has to be told once whom it talks to.
 */

export type Material = CertificatePair & {
  /** SHA-256, in hex with colons, as browsers show it. */
  fingerprint: string;
  /** ms since 1970 */
  until: number;
  selfSigned: boolean;
};

const DAYS = 365;
const RENEW_MS = 30 * 86_400_000;

/** The files that it is read from; empty where it is self-signed. */
export function certificateFiles(config: Config): string[] {
  const files = filesOf(config);
  return files === undefined ? [] : [files.certificate, files.key];
}

/** Fails with `tls-material`. */
export async function loadCertificate(config: Config): Promise<Material> {
  const files = filesOf(config);
  if (files === undefined) return ownCertificate(config);
  const [certificate, key] = await Promise.all([read(files.certificate), read(files.key)]);
  return materialOf({ certificate, key }, files.certificate, false);
}

function filesOf({ console: section, tls }: Config): { certificate: string; key: string } | undefined {
  if (section?.certificate !== undefined && section.key !== undefined) {
    return { certificate: section.certificate, key: section.key };
  }
  return tls?.certificate === undefined || tls.key === undefined
    ? undefined
    : { certificate: tls.certificate, key: tls.key };
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new SealpostError('tls-material', `the certificate of the console: ${unreadable(file, error)}`);
  }
}

function materialOf(pair: CertificatePair, file: string, selfSigned: boolean): Material {
  try {
    createSecureContext({ cert: pair.certificate, key: pair.key });
    const { fingerprint256, validToDate } = new X509Certificate(pair.certificate);
    return { ...pair, fingerprint: fingerprint256, until: validToDate.getTime(), selfSigned };
  } catch (cause) {
    throw new SealpostError('tls-material', `the certificate of the console in ${file} cannot be used`, { cause });
  }
}

/** Made where it is missing, ends soon, or is for other names. */
async function ownCertificate(config: Config): Promise<Material> {
  const files = {
    certificate: join(config.node.data, 'console-certificate.pem'),
    key: join(config.node.data, 'console-certificate-key.pem'),
  };
  const names = namesOf(config);
  const kept = await keptPair(files);
  if (kept !== undefined && isUsable(kept, names)) return materialOf(kept, files.certificate, true);
  const { createSelfSigned } = await import('#cluster/certificate.ts');
  const pair = await createSelfSigned(names, DAYS);
  try {
    await replaceFile(files.key, pair.key);
    await replaceFile(files.certificate, pair.certificate);
  } catch (cause) {
    throw new SealpostError('tls-material', `cannot keep the certificate of the console in ${config.node.data}`, {
      cause,
    });
  }
  return materialOf(pair, files.certificate, true);
}

type Names = { dns: string[]; ip: string[] };

/** Those that browsers find it by. */
function namesOf(config: Config): Names {
  const host = new URL(originOf(config)).hostname.replace(/^\[(.*)\]$/, '$1');
  const hosts = [...new Set([host, config.node.hostname, 'localhost'])];
  const address = config.console?.address ?? '127.0.0.1';
  const ip = [...new Set([...hosts.filter((name) => isIP(name) !== 0), '127.0.0.1', '::1', address])];
  return { dns: hosts.filter((name) => isIP(name) === 0), ip: ip.filter((one) => one !== '::' && one !== '0.0.0.0') };
}

async function keptPair(files: { certificate: string; key: string }): Promise<CertificatePair | undefined> {
  try {
    return { certificate: await readFile(files.certificate, 'utf8'), key: await readFile(files.key, 'utf8') };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw new SealpostError('tls-material', `the certificate of the console: ${unreadable(files.certificate, error)}`);
  }
}

function isUsable({ certificate }: CertificatePair, { dns, ip }: Names): boolean {
  try {
    const kept = new X509Certificate(certificate);
    return (
      kept.validToDate.getTime() > Date.now() + RENEW_MS &&
      dns.every((name) => kept.checkHost(name) !== undefined) &&
      ip.every((address) => kept.checkIP(address) !== undefined)
    );
  } catch {
    return false;
  }
}
