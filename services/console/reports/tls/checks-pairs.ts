import { subjectName } from '#cluster/certificates/describe.ts';
import type { Finding } from '../doctor/finding.ts';
import { weakKeys, weakSignatures } from './checks-certificates.ts';
import type { Pair, TlsFacts } from './facts.ts';

/** Whether a certificate and its private key belong together, and TLS takes the two. */

export const PAIR_CHECKS: Record<string, (facts: TlsFacts) => Finding[]> = {
  'key-mismatch': ({ pairs }) => pairs.filter(isMismatch).map((pair) => mismatch(pair, pairs)),

  'own-not-first': ({ pairs }) =>
    pairs.flatMap(({ certificate: { file, content }, chain }): Finding[] => {
      const [place = 0] = chain?.places ?? [];
      if (content === undefined || chain === undefined || place === 0) return [];
      const names = chain.path.map(subjectName);
      return [
        {
          severity: 'error',
          about: file,
          text: `begins with the certificate of ${subjectName(content[0])}, and that of this server is number ${place + 1}: TLS takes the first for the server's own`,
          help: `put them in this order: ${names.join(', ')}`,
        },
      ];
    }),

  // OpenSSL has the last word, whatever the checks here know of.
  'certificate-refused': ({ pairs }) =>
    pairs
      .filter((pair) => !isMismatch(pair) && weakKeys(pair).length === 0 && weakSignatures(pair).length === 0)
      .flatMap(({ certificate: { file }, chain, refused }): Finding[] => {
        if (refused === undefined || chain?.places[0] !== 0) return [];
        return [
          { severity: 'error', about: file, text: `cannot be used: ${refused}`, help: 'get another certificate' },
        ];
      }),
};

function fits(certificate: Pair['certificate'], key: Pair['key']): boolean {
  const { content } = key;
  return content !== undefined && (certificate.content?.some((one) => one.checkPrivateKey(content)) ?? false);
}

function isMismatch({ certificate, key }: Pair): boolean {
  return certificate.content !== undefined && key.content !== undefined && !fits(certificate, key);
}

function mismatch({ certificate, key }: Pair, pairs: readonly Pair[]): Finding {
  const itsCertificate = pairs.find((other) => fits(other.certificate, key))?.certificate;
  const itsKey = pairs.find((other) => fits(certificate, other.key))?.key;
  const others = [
    ...(itsCertificate === undefined ? [] : [`it fits ${itsCertificate.file} (${itsCertificate.option})`]),
    ...(itsKey === undefined ? [] : [`the key of that certificate is ${itsKey.file} (${itsKey.option})`]),
  ];
  return {
    severity: 'error',
    about: key.file,
    text: [`is not the key of the certificate in ${certificate.file}`, ...others].join('; '),
    help:
      others.length > 0
        ? `name files that belong together in ${certificate.option} and ${key.option}`
        : 'name the key that the certificate was requested with; without it, make a new request and have a new certificate issued',
  };
}
