import assert from 'node:assert/strict';
import { test } from 'node:test';
import { accountKey } from '#services/credential-store/certificates/acme/account.ts';
import type { AcmeAccount, CertificateRecord } from '#services/credential-store/records/certificate-record.ts';
import type { Certificates } from '#services/credential-store/records/certificates.ts';
import { generateNek, type Nek, parseNeks } from '#shared/dkim/nek.ts';

/** The account at an authority, and the NEKs that wrap its key. */

const DIRECTORY = 'https://ca.example/dir';
const newNek = (name: string): Nek => parseNeks(generateNek(name))[0] ?? assert.fail('no NEK');
const [first, second] = [newNek('first'), newNek('second')];

/** The records of a cluster. */
function records() {
  const kept: { account?: AcmeAccount; certificates: CertificateRecord[] } = { certificates: [] };
  const certificates = {
    account: () => kept.account,
    all: () => kept.certificates,
    updateAccount: async (_: string, change: (account: AcmeAccount | undefined) => AcmeAccount) =>
      (kept.account = change(kept.account)),
  } as unknown as Certificates;
  return { kept, key: (...neks: [Nek, ...Nek[]]) => accountKey(certificates, DIRECTORY, neks) };
}

test('the account stays the same with another NEK in front', async () => {
  const { kept, key } = records();
  const made = await key(first);
  assert.ok((await key(second, first)).equals(made));
  assert.equal(kept.account?.wrapped.nekFingerprint, second.fingerprint);
  assert.ok((await key(second)).equals(made));
});

test('an account whose NEK is lost is replaced, but not while a certificate has that NEK', async () => {
  const { kept, key } = records();
  const made = await key(first);
  const wrapped = kept.account?.wrapped ?? assert.fail('none');
  const order = { url: 'https://ca.example/1', directory: DIRECTORY, names: [], wrapped };
  const current = { chain: '', wrapped, origin: 'acme' as const, since: 0, node: 'edge-1' };
  for (const record of [
    { name: 'mx', current },
    { name: 'mx', acme: { term: 1, order } },
  ]) {
    kept.certificates = [record];
    await assert.rejects(key(second), { code: 'nek-mismatch', message: /add a line with first/ });
    assert.equal(kept.account?.wrapped, wrapped);
  }
  kept.certificates = [];
  const next = await key(second);
  assert.ok(!next.equals(made));
  assert.equal(kept.account?.wrapped.nekFingerprint, second.fingerprint);
});
