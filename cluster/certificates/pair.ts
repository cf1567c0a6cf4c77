import type { KeyObject, X509Certificate } from 'node:crypto';
import { SealpostError } from '#shared/errors.ts';
import { type Certificates, certificatesIn, isFault } from '../config/pem.ts';
import { refusal } from '../config/tls-files.ts';
import { fullName } from './describe.ts';

/** A chain in PEM and the private key of its first certificate: whether a listener can use the two. */

/** The names of hosts that a certificate is for (RFC 9525 §6.3: the common name does not count), in lower case. */
export function hostNames({ subjectAltName = '' }: X509Certificate): string[] {
  return [...subjectAltName.matchAll(/(?:^|, )DNS:([^,]+)/g)].map(([, name = '']) => name.toLowerCase());
}

/** PEM for TLS, which takes no key in another form. */
export const pemOf = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();

/** Fails with `tls-material` where the chain cannot be read. `what`: `certificate mx`. */
export function chainIn(what: string, chain: string): Certificates {
  const parsed = certificatesIn(Buffer.from(chain), what);
  if (isFault(parsed)) throw unusable(`${what} ${parsed.text}: ${parsed.help}`);
  return parsed;
}

/** Fails with `tls-material` unless TLS takes the chain with this key. Dates are for `assertInTime`. */
export function usablePair(what: string, chain: string, key: KeyObject): Certificates {
  const certificates = chainIn(what, chain);
  if (!certificates[0].checkPrivateKey(key)) {
    throw unusable(`${what}: the private key is not that of the first certificate of the chain`);
  }
  const refused = refusal(Buffer.from(chain), Buffer.from(pemOf(key)));
  if (refused !== undefined) throw unusable(`${what} cannot be used: ${refused}`);
  return certificates;
}

/** Fails with `tls-material` where a certificate of the chain is not valid at `now`: clients that check would refuse it. */
export function assertInTime(what: string, chain: Certificates, now: number): void {
  for (const [i, { validFromDate, validToDate, subject }] of chain.entries()) {
    const which = i === 0 ? what : `${what}: the certificate of ${fullName(subject)} in its chain`;
    if (validToDate.getTime() < now) {
      throw unusable(`${which} expired on ${validToDate.toISOString().slice(0, 10)}: get a new one`);
    }
    if (validFromDate.getTime() > now) {
      throw unusable(`${which} is not valid before ${validFromDate.toISOString()}: see that the clock is right`);
    }
  }
}

const unusable = (text: string): SealpostError => new SealpostError('tls-material', text);
