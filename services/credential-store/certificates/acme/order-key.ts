import { createPrivateKey, type KeyObject } from 'node:crypto';
import type { Nek } from '#shared/dkim/nek.ts';
import { type SecretPlace, wrapSecret } from '#shared/dkim/secret-wrap.ts';
import { openWith } from '#shared/tls/stored-certificate.ts';
import type { AcmeState } from '../../records/certificate-record.ts';

/**
 * The private key of a certificate that is being ordered. It is stored with the order, wrapped by a NEK of `tls.nek`,
 * before the authority sees the request: so what the authority makes can be used by the node that ends the order,
 * whichever that is.
 */

export type BegunOrder = NonNullable<AcmeState['order']>;

const placeOf = (certificate: string, url: string): SecretPlace => ({
  bound: Buffer.from(JSON.stringify(['acme-order', 1, certificate, url])),
  text: `the private key for the order ${url}`,
});

export function wrapOrderKey(nek: Nek, certificate: string, url: string, key: KeyObject): BegunOrder['wrapped'] {
  const der = key.export({ type: 'pkcs8', format: 'der' });
  const wrapped = wrapSecret(nek, placeOf(certificate, url), der);
  der.fill(0);
  return wrapped;
}

/** Fails with `nek-mismatch` or `key-damaged`. */
export function unwrapOrderKey(neks: readonly Nek[], certificate: string, { url, wrapped }: BegunOrder): KeyObject {
  const der = openWith(neks, placeOf(certificate, url), wrapped);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  der.fill(0);
  return key;
}
