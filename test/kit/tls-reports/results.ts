import type { TlsFailure, TlsResult } from '#services/router/delivery/tls-policy/result.ts';

/** A session with a mail exchanger of a domain, which was protected as its DANE policy asks unless the test says otherwise. */
export function tlsResult(domain: string, failure?: TlsFailure, more: Partial<TlsResult> = {}): TlsResult {
  return {
    domain,
    policy: {
      type: 'tlsa',
      strings: ['3 1 1 1f850a337e6db9c609c522d136a475638cc43e1ed424f8eec8513d747d1d085d'],
      mxHosts: [],
    },
    host: { name: `mx.${domain}`, address: '192.0.2.25', localAddress: '198.51.100.7' },
    failure: failure && { type: failure, reason: 'it is as the test says' },
    ...more,
  };
}
