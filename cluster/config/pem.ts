import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

/**
 * Certificates and private keys in PEM files, and what such a file is when it is not what is needed. Only what would keep
 * TLS from reading it is a fault; whether it is any good is for others to say.
 */

export type Fault = {
  kind: 'other-form' | 'other-content' | 'encrypted';
  /** What the file is or holds, as a clause about it without a full stop. */
  text: string;
  /** What to do: a clause without its full stop. */
  help: string;
  /** What the file holds instead, as far as that can be told. */
  holds?: string;
};

/** In the order of their file. */
export type Certificates = readonly [X509Certificate, ...X509Certificate[]];

const CERTIFICATES = /-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----.*?-----END \1?CERTIFICATE-----/gs;
const KEY = /-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----/;

/** The certificates of a PEM file, or what is wrong. */
export function certificatesIn(bytes: Buffer, file: string): Certificates | Fault {
  const blocks = bytes.toString('latin1').match(CERTIFICATES) ?? [];
  const parsed = blocks.map((pem) => attempt(() => new X509Certificate(pem)));
  const damaged = parsed.indexOf(undefined);
  if (damaged >= 0) {
    const which = blocks.length === 1 ? '' : ` (number ${damaged + 1} of ${blocks.length})`;
    const text = `holds a certificate that is damaged${which}`;
    return { kind: 'other-content', text, help: 'copy the file from its source again, as text and as a whole' };
  }
  const [first, ...rest] = parsed.filter((certificate) => certificate !== undefined);
  if (first !== undefined) return [first, ...rest];
  return otherForm(bytes, file, 'certificate') ?? notThere(bytes, 'certificate');
}

/** The private key of a PEM file, or what is wrong. */
export function privateKeyIn(bytes: Buffer, file: string): KeyObject | Fault {
  if (/^(-----BEGIN ENCRYPTED |Proc-Type: 4,ENCRYPTED)/m.test(bytes.toString('latin1'))) {
    return {
      kind: 'encrypted',
      text: 'holds a private key that is encrypted, and nobody is there to enter a passphrase',
      help: `openssl pkey -in ${file} -out ${file}.plain makes one without`,
    };
  }
  const parsed = attempt(() => createPrivateKey(bytes));
  return parsed ?? otherForm(bytes, file, 'private key') ?? notThere(bytes, 'private key');
}

export function isFault(content: object): content is Fault {
  return 'kind' in content && 'help' in content;
}

type Wanted = 'certificate' | 'private key';

/** A sequence with the number 3 in front (RFC 7292 §4), and one with the type signedData (RFC 5652 §5.1). */
const PKCS12 = /^0(?:[\0-\x80]|\x81.|\x82..|\x83...|\x84....)\x02\x01\x03/s;
const PKCS7 = /^0(?:[\0-\x80]|\x81.|\x82..|\x83...|\x84....)\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02/s;

/** What is wanted, or holds it, in another form than PEM. */
function otherForm(bytes: Buffer, file: string, wanted: Wanted): Fault | undefined {
  const text = bytes.toString('latin1');
  const fault = (what: string, help: string): Fault => ({
    kind: 'other-form',
    text: `is ${what}, and PEM is needed`,
    help: `${help} -in ${file} -out ${file}.pem`,
  });
  if (PKCS12.test(text)) {
    const part = wanted === 'certificate' ? '-nokeys' : '-nocerts -nodes';
    return fault('a PKCS#12 file (.p12, .pfx)', `openssl pkcs12 ${part}`);
  }
  const isBinary = PKCS7.test(text);
  if (wanted === 'certificate' && (isBinary || text.includes('-----BEGIN PKCS7-----'))) {
    return fault('a PKCS#7 file (.p7b)', `openssl pkcs7 ${isBinary ? '-inform DER ' : ''}-print_certs`);
  }
  if (wanted === 'certificate' && isDerCertificate(bytes)) {
    return fault('a certificate in DER form', 'openssl x509 -inform DER');
  }
  if (wanted === 'private key' && isDerKey(bytes)) {
    return fault('a private key in DER form', 'openssl pkey -inform DER');
  }
  return undefined;
}

/** Something else than what is wanted. */
function notThere(bytes: Buffer, wanted: Wanted): Fault {
  const holds = contentOf(bytes);
  const begin = wanted === 'certificate' ? '-----BEGIN CERTIFICATE-----' : '-----BEGIN PRIVATE KEY-----';
  return {
    kind: 'other-content',
    text: `holds no PEM ${wanted}${holds === undefined ? '' : `, but ${holds}`}`,
    help:
      wanted === 'certificate' && holds === REQUEST
        ? 'name the certificate that the authority made of it'
        : `name the file that has the line ${begin}`,
    ...(holds !== undefined && { holds }),
  };
}

const REQUEST = 'a certificate request';

function contentOf(bytes: Buffer): string | undefined {
  const text = bytes.toString('latin1');
  if (text.trim() === '') return 'nothing';
  if (text.includes(' CERTIFICATE REQUEST-----')) return REQUEST;
  if (text.includes('-----BEGIN OPENSSH PRIVATE KEY-----')) return 'a key of OpenSSH';
  if (KEY.test(text) || isDerKey(bytes)) return 'a private key';
  if (text.match(CERTIFICATES) !== null || isDerCertificate(bytes)) return 'a certificate';
  return text.includes('-----BEGIN PUBLIC KEY-----') ? 'a public key' : undefined;
}

/** Without PEM around it, a certificate that can be read is DER. */
function isDerCertificate(bytes: Buffer): boolean {
  return !bytes.includes('-----BEGIN ') && attempt(() => new X509Certificate(bytes)) !== undefined;
}

function isDerKey(bytes: Buffer): boolean {
  return (['pkcs8', 'pkcs1', 'sec1'] as const).some(
    (type) => attempt(() => createPrivateKey({ key: bytes, format: 'der', type })) !== undefined,
  );
}

function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}
