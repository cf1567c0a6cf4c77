import { authorOf } from '#services/policy/authenticity/author.ts';
import { chooseSignatures, type Signed, verifySignature } from '#services/policy/authenticity/dkim.ts';
import { DkimKeys } from '#services/policy/authenticity/dkim-keys.ts';
import { checkDmarc } from '#services/policy/authenticity/dmarc.ts';
import { SignatureVerifier } from '#services/policy/authenticity/signatures.ts';
import { checkSpf } from '#services/policy/authenticity/spf.ts';
import { verifyMessage } from '#services/policy/authenticity/verify.ts';
import { BodyHashes, type BodyHashKind, RELAXED, wantedBodyHashes } from '#shared/dkim/body-hashes.ts';
import { mailauthResolver } from '#shared/dns/mailauth-resolver.ts';
import type { DnsResolver } from '#shared/dns/resolver.ts';
import type { Authenticity, BodyHash, SpfFound } from '#shared/mail/authenticity.ts';
import { authenticationResults, receivedSpf } from '#shared/mail/authenticity-fields.ts';
import { splitHeader } from '#shared/mail/header.ts';
import type { Sample } from './mail.ts';

/** What a step costs: processor time of all threads a message, in microseconds. */
export type Cost = { step: string; micros: number };

const CLIENT = { address: '127.0.0.1', helo: 'load.test' };
const HOSTNAME = 'mx.bench.test';

/** The steps of checking a message one by one, each over all samples, `rounds` times, with what DNS said in the cache. */
export async function costs(samples: readonly Sample[], resolver: DnsResolver, rounds: number): Promise<Cost[]> {
  const lookup = mailauthResolver(resolver, { timeoutMs: 5000 });
  const keys = new DkimKeys();
  const mails = samples.map(({ from, message }) => {
    const bytes = Buffer.from(message, 'latin1');
    const end = bytes.indexOf('\r\n\r\n') + 4;
    const text = message.slice(0, end);
    return { reversePath: from, header: bytes.subarray(0, end), body: bytes.subarray(end), text };
  });
  const results: Cost[] = [];
  const measure = async <T>(
    step: string,
    work: (mail: (typeof mails)[number], n: number) => T,
  ): Promise<Awaited<T>[]> => {
    let last: Awaited<T>[] = [];
    // The first round warms code and caches up.
    let before = process.cpuUsage();
    for (let round = 0; round <= rounds; round++) {
      if (round === 1) before = process.cpuUsage();
      last = await inParts(mails, work);
    }
    const { user, system } = process.cpuUsage(before);
    results.push({ step, micros: (user + system) / rounds / mails.length });
    return last;
  };

  await measure('listener: the body hash of our own signatures, which is computed anyway', ({ body }) =>
    hashes([RELAXED], body),
  );
  const bodyHashes = await measure('listener: body hashes that the signatures ask for, with it', ({ header, body }) =>
    hashes([RELAXED, ...wantedBodyHashes(header)], body).slice(1),
  );
  const fields = await measure('policy: fields of the header', ({ text }) => splitHeader(text));
  const spf: SpfFound[] = await measure('policy: SPF', ({ reversePath }) =>
    checkSpf({ client: CLIENT, gateway: undefined, reversePath, hostname: HOSTNAME }, lookup),
  );
  const signed: Signed[][] = await measure('policy: DKIM', async (_, n) => {
    const header = fields[n] ?? [];
    const { chosen } = chooseSignatures(header);
    const verifier = new SignatureVerifier({
      header,
      bodyHashes: bodyHashes[n],
      keys: keys.asked(lookup),
      now: new Date(),
    });
    await verifier.read(chosen);
    return Promise.all(verifier.signatureHeaders.map((one) => verifySignature(verifier, one)));
  });
  await measure('policy: DMARC', ({ text }, n) => {
    const from = (fields[n] ?? []).filter(({ name }) => name === 'from');
    const found = spf[n];
    if (found === undefined) throw new Error('no SPF');
    return checkDmarc(authorOf(from, text), { spf: found, signed: signed[n] ?? [] }, lookup);
  });
  const all: Authenticity[] = await measure('policy: SPF, DKIM, ARC and DMARC together', ({ reversePath, text }, n) =>
    verifyMessage(
      {
        ...{ client: CLIENT, gateway: undefined, reversePath },
        ...{ header: { text, fields: fields[n] ?? [] }, bodyHashes: bodyHashes[n] },
      },
      { lookup, policies: lookup, keys, hostname: HOSTNAME, now: new Date() },
    ),
  );
  await measure('policy: Authentication-Results and Received-SPF', ({ reversePath }, n) => {
    const found = all[n];
    if (found?.dmarc.result !== 'pass' || found.dkim[0]?.result !== 'pass' || found.spf.result !== 'pass')
      throw new Error(`not genuine: ${JSON.stringify(found)}`);
    return (
      authenticationResults(HOSTNAME, found) +
      receivedSpf(found.spf, { client: CLIENT, reversePath, hostname: HOSTNAME })
    );
  });
  return results;
}

function hashes(kinds: readonly BodyHashKind[], body: Buffer): BodyHash[] {
  const computing = new BodyHashes(kinds);
  computing.update(body);
  return computing.digest();
}

/** As a node has them: twenty at a time. */
async function inParts<M, T>(mails: readonly M[], work: (mail: M, n: number) => T): Promise<Awaited<T>[]> {
  const done: Awaited<T>[] = [];
  for (let from = 0; from < mails.length; from += 20)
    done.push(...(await Promise.all(mails.slice(from, from + 20).map((mail, i) => work(mail, from + i)))));
  return done;
}
