import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { dkimSign } from 'mailauth/lib/dkim/sign.js';
import type { Lookup } from 'mailauth/lib/tools.js';
import { DkimKeys } from '#services/policy/authenticity/dkim-keys.ts';
import { type IncomingMail, verifyMessage } from '#services/policy/authenticity/verify.ts';
import { BodyHashes, wantedBodyHashes } from '#shared/dkim/body-hashes.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import { splitHeader } from '#shared/mail/header.ts';

/**
 * Records by `TYPE name`: their values, an error code of node:dns, or `silence`. A name that is not there does not exist; one
 * that has records of other types has none of this.
 */
export type Zone = Record<string, unknown[] | string>;

export function lookupIn(zone: Zone, asked: string[] = []): Lookup {
  return (async (name: string, type: string) => {
    asked.push(`${type} ${name}`);
    const found = zone[`${type} ${name.toLowerCase()}`];
    if (found === 'silence') return new Promise(() => undefined);
    if (typeof found === 'string') throw dnsError(found);
    if (found !== undefined) return found;
    throw dnsError(Object.keys(zone).some((key) => key.endsWith(` ${name.toLowerCase()}`)) ? 'ENODATA' : 'ENOTFOUND');
  }) as Lookup;
}

function dnsError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

export const txt = (...values: string[]): string[][] => values.map((value) => [value]);

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
export const RSA: KeyObject = rsa.privateKey;
export const RSA_RECORD = recordOf(rsa.publicKey);

export function recordOf(key: KeyObject): string {
  return `v=DKIM1; k=rsa; p=${key.export({ format: 'der', type: 'spki' }).toString('base64')}`;
}

type Signing = {
  domain?: string;
  selector?: string;
  key?: KeyObject;
  canonicalization?: string;
  length?: number;
  expires?: Date;
  /** i= */
  identity?: string;
};

/** The message with a signature in front. */
export async function signed(message: string, signing: Signing = {}): Promise<string> {
  const { domain = 'author.test', selector = 's1', key = RSA, canonicalization = 'relaxed/relaxed' } = signing;
  const { length, expires, identity } = signing;
  const signer = {
    ...{ signingDomain: domain, selector },
    privateKey: key.export({ format: 'pem', type: 'pkcs8' }).toString(),
    ...(length === undefined ? {} : { maxBodyLength: length }),
    ...(identity === undefined ? {} : { identity }),
  };
  const { signatures } = await dkimSign(message, {
    ...{ ...signer, canonicalization, signatureData: [signer] },
    ...(expires === undefined ? {} : { expires }),
  });
  return `${signatures}${message}`;
}

export const MESSAGE = [
  ...['From: Ann <ann@author.test>', 'To: bob@local.test', 'Subject: Figures', 'Date: Thu, 01 Jan 2026 00:00:00 +0000'],
  ...['', 'The figures are attached.', '', 'Ann', ''],
].join('\r\n');

/** What author.test publishes. */
export const ZONE: Zone = {
  'TXT s1._domainkey.author.test': txt(RSA_RECORD),
  'TXT author.test': txt('v=spf1 ip4:192.0.2.7 -all'),
  'TXT _dmarc.author.test': txt('v=DMARC1; p=reject; rua=mailto:dmarc@author.test'),
};

type Given = Partial<IncomingMail> & { zone?: Zone; asked?: string[]; now?: Date };

/** What is found out about a message that comes from 192.0.2.7, which author.test permits. */
export function verify(message: string | Buffer, given: Given = {}): Promise<Authenticity> {
  const { zone = ZONE, asked, now = new Date(), ...mail } = given;
  const bytes = Buffer.from(message as string, 'latin1');
  const end = bytes.indexOf('\r\n\r\n') + 4;
  const text = bytes.toString('latin1', 0, end);
  const hashes = new BodyHashes(wantedBodyHashes(bytes.subarray(0, end)));
  hashes.update(bytes.subarray(end));
  return verifyMessage(
    {
      ...{ client: { address: '192.0.2.7', helo: 'mail.author.test' }, gateway: undefined },
      ...{ reversePath: 'ann@author.test', header: { text, fields: splitHeader(text) }, bodyHashes: hashes.digest() },
      ...mail,
    },
    {
      lookup: lookupIn(zone, asked),
      policies: lookupIn(zone, asked),
      keys: new DkimKeys(),
      hostname: 'mx1.local.test',
      now,
    },
  );
}
