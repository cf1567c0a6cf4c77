import { commonName, subjectName } from '#cluster/certificates/describe.ts';
import type { Finding } from '../doctor/finding.ts';
import { isSelfSigned } from './chain.ts';
import type { Pair, TlsFacts } from './facts.ts';

/** Whether clients can follow the chain of a certificate to an authority that they know. */

type Chained = { file: string; chain: NonNullable<Pair['chain']> };

const check =
  (find: (chained: Chained) => Omit<Finding, 'about'> | undefined) =>
  ({ pairs }: TlsFacts): Finding[] =>
    pairs.flatMap(({ role, certificate: { file }, chain }) => {
      const found = role === 'server' && chain !== undefined ? find({ file, chain }) : undefined;
      return found === undefined ? [] : [{ ...found, about: file }];
    });

export const CHAIN_CHECKS: Record<string, (facts: TlsFacts) => Finding[]> = {
  // TLS 1.3 does not mind (RFC 8446 §4.4.2), many clients of TLS 1.2 do.
  'chain-unordered': check(({ chain: { path, places } }) => {
    if (places[0] !== 0 || places.every((place, i) => place === i)) return undefined;
    const names = path.map(subjectName);
    const text = 'its chain is not in order: each certificate should be followed by that of its issuer';
    return { severity: 'warning', text, help: `put them in this order: ${names.join(', ')}` };
  }),

  'chain-incomplete': check(incomplete),

  'self-signed': check(({ chain: { end } }) => {
    if (end !== 'self-signed') return undefined;
    const text = 'is signed by itself: only clients that were given it can tell this server from another one';
    return { severity: 'warning', text, help: 'get one from a public authority, or give this one to every client' };
  }),

  'chain-private': check(({ chain: { path, end } }) => {
    if (end !== 'private') return undefined;
    const root = commonName(path.at(-1)?.subject);
    const text = `leads to ${root}, which is not a public authority: only clients that were given its certificate know it`;
    return { severity: 'warning', text, help: 'get one from a public authority if others are to verify this server' };
  }),

  'root-superfluous': check(({ chain: { path, end } }) => {
    const root = path.at(-1);
    if (end !== 'public' || root === undefined || path.length === 1 || !isSelfSigned(root)) return undefined;
    const text = `has the certificate of the authority ${commonName(root.subject)} at its end: every client has that, and each handshake sends it`;
    return { severity: 'note', text, help: 'remove it from the file' };
  }),
};

function incomplete({ file, chain: { path, end } }: Chained): Omit<Finding, 'about'> | undefined {
  if (end !== 'missing') return undefined;
  const last = path.at(-1) ?? path[0];
  const issuer = commonName(last.issuer);
  const of = path.length === 1 ? 'the certificate' : `the certificate of ${subjectName(last)}`;
  const text = `the chain has a gap: ${of} was issued by ${issuer}, which is neither in the file nor a public authority that clients know`;
  const url = /^CA Issuers - URI:(http\S+)$/m.exec(last.infoAccess ?? '')?.[1];
  // Who names no place for it is an authority of one's own, which its clients may have been given.
  if (url === undefined) {
    const help = `add the certificate of ${issuer} at the end, unless it is an authority of yours that all clients have`;
    return { severity: 'warning', text, help };
  }
  const help = `add the certificate of ${issuer} at the end: curl ${url} | openssl x509 -inform DER >> ${file}`;
  return { severity: 'error', text, help };
}
