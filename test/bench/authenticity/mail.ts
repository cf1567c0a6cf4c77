import { generateKeyPairSync } from 'node:crypto';
import { dkimSign } from 'mailauth/lib/dkim/sign.js';
import { Rcode, Type } from '#shared/dns/message.ts';
import { answerTo, type Handler, txt } from '#test/kit/dns/fake-dns.ts';

/**
 * Mail as it comes from well-kept domains: of the author's domain by SPF, signed by it (RSA-2048), with a DMARC record that
 * asks for reports.
 */
export type Sample = { from: string; message: string };

/** TXT records by their names. */
export type Records = Map<string, string>;

const LINE = 'The quick brown fox jumps over the lazy dog; 0123456789.\r\n';

/** A signed message of each domain, and what the domains publish. */
export async function makeMail(domains: number, size: number): Promise<{ samples: Sample[]; records: Records }> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const key = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  const records: Records = new Map();
  const samples: Sample[] = [];
  for (let n = 0; n < domains; n++) {
    const domain = `sender${n}.test`;
    records.set(domain, 'v=spf1 ip4:127.0.0.0/8 -all');
    records.set(`s1._domainkey.${domain}`, `v=DKIM1; k=rsa; p=${key}`);
    records.set(`_dmarc.${domain}`, `v=DMARC1; p=reject; rua=mailto:dmarc@${domain}`);
    const header = [
      `From: Author <author@${domain}>`,
      'To: Reader <reader@dest.test>',
      `Subject: message of ${domain}`,
      'Date: Sun, 22 Nov 2026 12:00:00 +0000',
      `Message-ID: <1@${domain}>`,
      'MIME-Version: 1.0',
      'Content-Type: text/plain; charset=us-ascii',
    ].join('\r\n');
    const plain = `${header}\r\n\r\n${LINE.repeat(Math.max(1, Math.round((size - header.length) / LINE.length)))}`;
    const signer = { signingDomain: domain, selector: 's1', privateKey: pem };
    const { signatures } = await dkimSign(plain, {
      ...{ ...signer, canonicalization: 'relaxed/relaxed', signatureData: [signer] },
    });
    samples.push({ from: `author@${domain}`, message: `${signatures}${plain}` });
  }
  return { samples, records };
}

/** A name server with these records and nothing else, whose answers may be kept for a minute. */
export function serve(records: Records): Handler {
  return (query) => {
    const [question] = query.questions;
    const name = question?.name.toLowerCase() ?? '';
    const text = records.get(name);
    if (text === undefined) {
      const isParent = [...records.keys()].some((known) => known.endsWith(`.${name}`));
      return answerTo(query, { rcode: isParent ? Rcode.NOERROR : Rcode.NXDOMAIN });
    }
    if (question?.type !== Type.TXT) return answerTo(query);
    return answerTo(query, { answers: [txt(name, ...(text.match(/.{1,255}/g) ?? []))] });
  };
}
