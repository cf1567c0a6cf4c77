import type { Problem } from '../problems/problem.ts';
import type { Config } from '../schema/schema.ts';
import type { Rule } from './rule.ts';

/** Rules of certificates. */

function listenerTls({ listeners, tls }: Config): Problem[] {
  if (tls !== undefined) return [];
  return listeners.flatMap(({ tls: mode }, i) =>
    mode === 'none'
      ? []
      : [
          {
            path: ['listeners', i, 'tls'],
            message: `${mode} needs a certificate: add tls: { certificate: …, key: … }, or set tls: none here`,
          },
        ],
  );
}

/** Where the certificate of the listeners comes from. */
function tlsSource({ tls }: Config): Problem[] {
  if (tls === undefined) return [];
  const problems: Problem[] = [];
  if ((tls.certificate === undefined) !== (tls.key === undefined)) {
    const [missing, given] = tls.key === undefined ? ['key', 'certificate'] : ['certificate', 'key'];
    problems.push({ path: ['tls', missing], message: `is required beside ${given}` });
  } else if (tls.certificate === undefined && tls.nek === undefined) {
    const message = 'needs a certificate: add certificate and key, or nek for the certificates that the cluster shares';
    problems.push({ path: ['tls'], message });
  }
  if (tls.credential !== undefined && tls.nek === undefined) {
    const message = `the private key of certificate ${tls.credential} cannot be read without a NEK: add tls.nek`;
    problems.push({ path: ['tls', 'credential'], message });
  }
  return problems;
}

export const TLS_RULES: readonly Rule[] = [
  { sections: ['listeners', 'tls'], check: listenerTls },
  { sections: ['tls'], check: tlsSource },
];
