import type { X509Certificate } from 'node:crypto';
import { isCertificateFor } from '#cluster/config/tls-files.ts';
import { type Finding, listText } from '../doctor/finding.ts';
import type { Pair, TlsFacts } from './facts.ts';

/** Whether the certificates are for the names that clients know this server by. */

export const NAME_CHECKS: Record<string, (facts: TlsFacts) => Finding[]> = {
  'no-certificate': ({ pairs, listeners, shared }) => {
    if (shared || pairs.some(({ role }) => role === 'server')) return [];
    const waiting = listeners.filter(({ tls }) => tls !== 'none').map(({ name, tls }) => `${name} (${tls})`);
    if (waiting.length === 0) {
      const text = 'there is no certificate, and no listener offers TLS: all mail comes in clear text';
      return [{ severity: 'note', about: 'tls', text, help: 'add tls: { certificate: …, key: … }' }];
    }
    const text = `there is no certificate for the listener${waiting.length === 1 ? '' : 's'} ${listText(waiting)}`;
    return [{ severity: 'error', about: 'tls', text, help: 'add tls: { certificate: …, key: … }' }];
  },

  'no-names': ({ pairs }) =>
    servers(pairs).flatMap(({ file, own }): Finding[] => {
      if (namesOf(own).length > 0) return [];
      const text = 'names no host in its subjectAltName, and clients look nowhere else (RFC 9525 §6.3)';
      return [{ severity: 'error', about: file, text, help: 'have one issued with the names of this server' }];
    }),

  'hostname-missing': ({ pairs, hostname }) =>
    servers(pairs).flatMap(({ file, own, hosts }): Finding[] => {
      const isElsewhere = pairs.some((pair) => pair.hosts.includes(hostname));
      if (hosts.length > 0 || isElsewhere || namesOf(own).length === 0 || isCertificateFor(own, hostname)) return [];
      const text = `is not for ${hostname} (node.hostname), but for ${listText(namesOf(own))}`;
      return [{ severity: 'warning', about: file, text, help: 'get one with this name too, or set node.hostname' }];
    }),

  'host-missing': ({ pairs }) =>
    servers(pairs).flatMap(({ file, own, hosts, option }): Finding[] => {
      const missing = hosts.filter((host) => !isCertificateFor(own, host));
      if (missing.length === 0 || namesOf(own).length === 0) return [];
      const text = `is not for ${listText(missing)} (${option}.hosts), but for ${listText(namesOf(own))}`;
      return [{ severity: 'error', about: file, text, help: `get one with these names, or correct ${option}.hosts` }];
    }),
};

type Server = { file: string; own: X509Certificate; hosts: readonly string[]; option: string };

function servers(pairs: readonly Pair[]): Server[] {
  return pairs.flatMap(({ role, certificate: { file, option }, chain, hosts }) =>
    role === 'server' && chain !== undefined
      ? [{ file, own: chain.path[0], hosts, option: option.replace(/\.certificate$/, '') }]
      : [],
  );
}

/** Host names and addresses of a certificate. */
export function namesOf({ subjectAltName = '' }: X509Certificate): string[] {
  return [...subjectAltName.matchAll(/(?:^|, )(?:DNS|IP Address):([^,]+)/g)].map(([, name = '']) => name);
}
