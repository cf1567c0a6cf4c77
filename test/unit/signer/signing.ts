import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { ConfigSchema, type DomainConfig } from '#cluster/config/schema/schema.ts';
import type { HeldKey } from '#services/signer/keyring.ts';
import { type SignRequest, signMessage } from '#services/signer/sign.ts';
import { RelaxedBodyHash } from '#shared/dkim/body-hash.ts';
import { dkimRecordName, dkimRecordValue } from '#shared/dkim/record.ts';
import type { SampleMessage } from './messages.ts';

/** A key as the keyring holds it, and what DNS has of it. */
export type TestKey = { domain: string; selector: string; usable: true; privateKey: KeyObject; record: string };

/** One pair of each kind for a whole test process: making RSA keys is slow. */
export const PAIRS = {
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ed25519: generateKeyPairSync('ed25519'),
};

export function testKey(domain: string, selector: string, kind: keyof typeof PAIRS = 'rsa'): TestKey {
  const { privateKey, publicKey } = PAIRS[kind];
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const p = (kind === 'rsa' ? spki : spki.subarray(-32)).toString('base64');
  const record = dkimRecordValue({ algorithm: kind === 'rsa' ? 'rsa-2048' : kind, publicKey: p });
  return { domain, selector, usable: true, privateKey, record };
}

/** What a loaded keyring answers that holds these. */
export function keyringOf(...keys: HeldKey[]) {
  return { loaded: true, keysOf: (domain: string) => keys.filter((k) => k.domain === domain) };
}

export function domainsOf(...entries: object[]): DomainConfig[] {
  return ConfigSchema.parse({ domains: entries }).domains;
}

export function requestFor(message: SampleMessage, reversePath = 'alice@example.com'): SignRequest {
  const hash = new RelaxedBodyHash();
  hash.update(Buffer.from(message.body, 'latin1'));
  return { bodyHash: hash.digest(), reversePath, header: Buffer.from(`${message.header}\r\n`, 'latin1') };
}

/** The DKIM-Signature fields for a message of example.com. */
export async function signatures(message: SampleMessage, keys: TestKey[]): Promise<string> {
  const outcome = await signMessage(requestFor(message), domainsOf({ name: 'example.com' }), keyringOf(...keys));
  assert.equal(outcome.outcome, 'signed', JSON.stringify(outcome));
  return outcome.outcome === 'signed' ? outcome.header : '';
}

/** What mailauth in its strict mode says of every signature: `pass`, `fail`, … by selector. */
export async function verdicts(message: Buffer, keys: TestKey[]): Promise<Record<string, string>> {
  const records = new Map(keys.map((k) => [dkimRecordName(k), k.record]));
  const resolver = async (name: string, type: string): Promise<string[][]> => {
    const record = type === 'TXT' ? records.get(name) : undefined;
    if (record !== undefined) return [[record]];
    throw Object.assign(new Error(`no ${type} of ${name}`), { code: 'ENOTFOUND' });
  };
  const { results } = await dkimVerify(message, { resolver, strict: true });
  return Object.fromEntries(results.map((r) => [String(r.selector), r.status.result]));
}
