import { createHash, X509Certificate } from 'node:crypto';
import type { NextHop, RecipientResult } from '#services/router/delivery/job.ts';
import type { TlsResult } from '#services/router/delivery/tls-policy/result.ts';
import { ValidatingResolver } from '#test/kit/dns/validating-resolver.ts';
import { type LogLine, logLines } from '#test/kit/log-lines.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';
import { testDelivery, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

/**
 * The zones s.test, signed, child.s.test, not signed and told so by its parent, and plain.test, not signed; unbound
 * validates. The hosts are at port 25 of 127.0.0.x:
 *
 *   ee 41          its certificate is named by its TLSA record
 *   old 42         the same; the certificate has expired, and is for another name
 *   wrong 43       its certificate is another one than its TLSA record names
 *   clear 44       no STARTTLS, all the same it has a TLSA record
 *   ta 45          its authority is named by its TLSA record
 *   ta-other 46    the same; its certificate is for another name
 *   rubbish 47     its handshake fails
 */

export type TlsaOptions = { usage: number; selector?: 0 | 1; matching?: 0 | 1 | 2 };

/** The data of a TLSA record for a certificate, as text. */
export function tlsa(pem: string, { usage, selector = 1, matching = 1 }: TlsaOptions): string {
  const certificate = new X509Certificate(pem);
  const whole = selector === 0 ? certificate.raw : certificate.publicKey.export({ type: 'spki', format: 'der' });
  const digest = { 1: 'sha256', 2: 'sha512' }[matching as number];
  const data = digest === undefined ? whole : createHash(digest).update(whole).digest();
  return `TLSA ${usage} ${selector} ${matching} ${data.toString('hex').toUpperCase()}`;
}

/** 32 bytes that are the digest of nothing. */
const NONE = 'DA'.repeat(32);
/** The digest in the record that is changed after the zone was signed. */
const CHANGED = 'AB'.repeat(32);

const EXPIRED = { notBefore: Date.now() - 20 * 86_400_000, notAfter: Date.now() - 86_400_000 };

async function certificates() {
  const authority = await createAuthority();
  const ta = await authority.issue({ names: ['ta.s.test'] });
  const other = await authority.issue({ names: ['mail.elsewhere.test', 'next-hop.s.test'] });
  const chain = (one: { certificate: string; key: string }) => ({
    ...one,
    certificate: `${one.certificate}\n${authority.ca}`,
  });
  return {
    ca: authority.ca,
    ee: await authority.issue({ names: ['ee.s.test'] }),
    old: await authority.issue({ names: ['elsewhere.test'], ...EXPIRED }),
    wrong: await authority.issue({ names: ['wrong.s.test'] }),
    ta: chain(ta),
    other: chain(other),
  };
}

type Certificates = Awaited<ReturnType<typeof certificates>>;

function signedZone({ ca, ee, old }: Certificates): string {
  return `
ee           A 127.0.0.41
_25._tcp.ee  ${tlsa(ee.certificate, { usage: 3 })}
old          A 127.0.0.42
_25._tcp.old ${tlsa(old.certificate, { usage: 3, selector: 0, matching: 2 })}
wrong        A 127.0.0.43
_25._tcp.wrong TLSA 3 1 1 ${NONE}
clear        A 127.0.0.44
_25._tcp.clear TLSA 3 1 1 ${NONE}
ta           A 127.0.0.45
_25._tcp.ta  ${tlsa(ca, { usage: 2, selector: 0 })}
ta-other     A 127.0.0.46
_25._tcp.ta-other ${tlsa(ca, { usage: 2 })}
rubbish      A 127.0.0.47
_25._tcp.rubbish TLSA 3 1 1 ${NONE}
bogus        A 127.0.0.41
_25._tcp.bogus TLSA 3 1 1 ${CHANGED}
pkix         A 127.0.0.43
_25._tcp.pkix TLSA 1 1 1 ${NONE}
pkix-clear   A 127.0.0.44
_25._tcp.pkix-clear TLSA 0 1 1 ${NONE}
none         A 127.0.0.43
none-clear   A 127.0.0.44
alias        CNAME ee
own-alias    CNAME wrong-plain
_25._tcp.own-alias ${tlsa(ee.certificate, { usage: 3 })}
wrong-plain  A 127.0.0.41
away         CNAME host.plain.test.
_25._tcp.away ${tlsa(ee.certificate, { usage: 3 })}
direct       A 127.0.0.41
_25._tcp.direct ${tlsa(ee.certificate, { usage: 3 })}
good         MX 10 ee
expired      MX 10 old
mismatch     MX 10 wrong
second       MX 10 wrong
             MX 20 ee
forged       MX 10 bogus
forged-2     MX 10 bogus
             MX 20 ee
no-tls       MX 10 clear
no-tls-2     MX 10 clear
             MX 20 ee
no-handshake MX 10 rubbish
anchor       MX 10 ta
next-hop     MX 10 ta-other
misnamed     MX 10 ta-other
unusable     MX 10 pkix
unusable-clear MX 10 pkix-clear
without      MX 10 none
without-clear MX 10 none-clear
by-alias     MX 10 alias
by-own-alias MX 10 own-alias
by-away      MX 10 away
to-child     MX 10 host.child
child        NS ns.nameserver.test.
`;
}

const CHILD = `
host          A 127.0.0.43
_25._tcp.host TLSA 3 1 1 ${NONE}
@             MX 10 host
`;
const PLAIN = `
host          A 127.0.0.41
@             MX 10 wrong.s.test.
`;

export type DaneSite = Awaited<ReturnType<typeof startDaneSite>>;

/** Resolver and hosts; `dispose` when the tests end. */
export async function startDaneSite() {
  const stack = new AsyncDisposableStack();
  const issued = await certificates();
  const resolver = stack.use(
    await ValidatingResolver.start('unbound', [
      {
        name: 's.test',
        records: signedZone(issued),
        signed: true,
        changed: (text) => text.replace(CHANGED.slice(0, 16), 'CD'.repeat(8)),
      },
      { name: 'child.s.test', records: CHILD, signed: false },
      { name: 'plain.test', records: PLAIN, signed: false },
    ]),
  );
  const tls = [issued.ee, issued.old, issued.wrong, undefined, issued.ta, issued.other, 'fail'] as const;
  const sinks = new Map<number, SmtpSink>();
  for (const [i, one] of tls.entries()) {
    const options = { host: `127.0.0.${41 + i}`, port: 25, ...(one !== undefined && { tls: one }) };
    // Two files of tests have these hosts, and may run at the same time.
    const what = `port 25 of ${options.host} to be free`;
    sinks.set(41 + i, stack.use(await waitFor(() => SmtpSink.start(options), { what, timeout: 90_000 })));
  }
  return {
    server: resolver.server,
    sink: (last: number) => sinks.get(last) as SmtpSink,
    dispose: () => stack.disposeAsync(),
  };
}

type SendOptions = {
  tls?: NextHop['tls'];
  demand?: NextHop['demand'];
  except?: { domain: string; until: string }[];
  dnssec?: boolean;
};

/** The result of a message to a domain, what the log said, and what there is to report of TLS. */
export async function send(
  { server }: DaneSite,
  domain: string,
  { tls = 'opportunistic', demand, except = [], dnssec = true }: SendOptions = {},
): Promise<{ result: RecipientResult; log: LogLine[]; told: TlsResult[] }> {
  const { log, lines } = logLines();
  const told: TlsResult[] = [];
  const settings = testSettings({
    dns: { servers: [server], timeout: '5s', dnssec },
    delivery: { 'allow-local': ['127.0.0.0/8'], dane: { except } },
  });
  await using delivery = testDelivery({ settings, log, onTlsResult: (one) => told.push(one) });
  const hop: NextHop = { key: `mx:${domain}`, spec: { kind: 'mx', domain }, tls, ...(demand && { demand }) };
  const [[result] = []] = await delivery.run(hop, testJob({ recipients: [`b@${domain}`] }));
  if (result === undefined) throw new Error('there is no result');
  return { result, log: lines(), told };
}
