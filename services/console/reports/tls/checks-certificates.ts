import type { X509Certificate } from 'node:crypto';
import { CURVES, commonName, subjectName } from '#cluster/certificates/describe.ts';
import { formatDuration } from '#shared/units.ts';
import type { Finding } from '../doctor/finding.ts';
import { isSelfSigned } from './chain.ts';
import type { Pair, TlsFacts } from './facts.ts';

/** Whether the certificates that are used are good: in time, strong, and meant for servers. */

const DAY_MS = 86_400_000;
/** Authorities issue the next one well before this. */
const SOON_MS = 14 * DAY_MS;

export const CERTIFICATE_CHECKS: Record<string, (facts: TlsFacts) => Finding[]> = {
  'certificate-expired': ({ pairs, now }) =>
    each(pairs, (one, name) => {
      const end = one.validToDate.getTime();
      if (end >= now) return undefined;
      const text = `${name} expired on ${day(end)}, ${formatDuration(now - end)} ago`;
      return { severity: 'error', text, help: `${renewal(one)}; the listeners load it as soon as the file changes` };
    }),

  'certificate-early': ({ pairs, now }) =>
    each(pairs, (one, name) => {
      const begin = one.validFromDate.getTime();
      if (begin <= now) return undefined;
      const text = `${name} is not valid before ${one.validFromDate.toISOString()}, in ${formatDuration(begin - now)}`;
      return { severity: 'error', text, help: 'see that the clock of this machine is right, or wait with this file' };
    }),

  'certificate-expiring': ({ pairs, now }) =>
    each(pairs, (one, name) => {
      const end = one.validToDate.getTime();
      if (end < now || end - now > SOON_MS) return undefined;
      const text = `${name} expires on ${day(end)}, in ${formatDuration(end - now)}`;
      return { severity: 'warning', text, help: `${renewal(one)}, and see why that did not happen by itself` };
    }),

  'key-weak': ({ pairs }) => pairs.flatMap(weakKeys),
  'signature-weak': ({ pairs }) => pairs.flatMap(weakSignatures),

  'not-for-servers': ({ pairs }) =>
    eachOwn(pairs, ({ keyUsage }) => {
      const usages: readonly string[] | undefined = keyUsage;
      if (usages === undefined || usages.some((usage) => SERVER_USAGES.includes(usage))) return undefined;
      const text = 'is not for servers: its extended key usage does not name serverAuth, so clients refuse it';
      return { severity: 'error', text, help: 'have one issued for a TLS server ("web server" at many authorities)' };
    }),

  'authority-as-server': ({ pairs }) =>
    eachOwn(pairs, ({ ca }) => {
      const text =
        'is a certificate of an authority (CA:TRUE) in the place of one of a server: strict clients refuse it';
      return ca ? { severity: 'warning', text, help: 'have one issued for a server' } : undefined;
    }),
};

/** serverAuth and anyExtendedKeyUsage (RFC 5280 §4.2.1.12). */
const SERVER_USAGES = ['1.3.6.1.5.5.7.3.1', '2.5.29.37.0'];

export function weakKeys(pair: Pair): Finding[] {
  return each([pair], ({ publicKey }, name) => {
    const { modulusLength, namedCurve } = publicKey.asymmetricKeyDetails ?? {};
    const help = 'make a new key, of RSA with 2048 bits or P-256, and have a certificate issued for it';
    if (modulusLength !== undefined && modulusLength < 2048) {
      const text = `${name} has an RSA key of ${modulusLength} bits, and TLS needs 2048 or more`;
      return { severity: 'error', text, help };
    }
    if (namedCurve === undefined || CURVES[namedCurve] !== undefined) return undefined;
    const text = `${name} has a key on the curve ${namedCurve}, which hardly any client knows`;
    return { severity: 'error', text, help };
  });
}

export function weakSignatures(pair: Pair): Finding[] {
  return each([pair], (one, name) => {
    const [hash] = /sha-?1(?!\d)|md[245]/i.exec(one.signatureAlgorithm ?? '') ?? [];
    // Nobody relies on the signature that an authority gave itself.
    if (hash === undefined || isSelfSigned(one)) return undefined;
    const text = `${name} is signed with ${/^m/i.test(hash) ? hash.toUpperCase() : 'SHA-1'}, which TLS does not take`;
    return { severity: 'error', text, help: 'have a new certificate issued; authorities sign with SHA-256 since 2016' };
  });
}

type Found = Omit<Finding, 'about'> | undefined;

/** Every certificate of the way to the authority; `name`: what begins a clause about it. */
function each(pairs: readonly Pair[], find: (one: X509Certificate, name: string) => Found): Finding[] {
  return pairs.flatMap(({ certificate: { file }, chain }) =>
    (chain?.path ?? []).flatMap((one, i) => {
      const found = find(one, i === 0 ? 'the certificate' : `the certificate of ${subjectName(one)} in its chain`);
      return found === undefined ? [] : [{ ...found, about: file }];
    }),
  );
}

/** The certificates of the listeners themselves. */
function eachOwn(pairs: readonly Pair[], find: (one: X509Certificate) => Found): Finding[] {
  return pairs.flatMap(({ role, certificate: { file }, chain }) => {
    const found = role === 'server' && chain !== undefined ? find(chain.path[0]) : undefined;
    return found === undefined ? [] : [{ ...found, about: file }];
  });
}

function renewal(one: X509Certificate): string {
  return isSelfSigned(one) ? 'make a new one' : `get a new one from ${commonName(one.issuer)}`;
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
