/**
 * Why no trusted authority stands behind the certificate of a peer: the names that Node gives to what OpenSSL says of a
 * chain (X509_STORE_CTX_get_error), in words that follow "the certificate".
 */

const FOREIGN = 'comes from an authority that is not trusted here';

const PROBLEMS: Record<string, string> = {
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: FOREIGN,
  UNABLE_TO_GET_ISSUER_CERT: FOREIGN,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: FOREIGN,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'comes without its chain, or from an authority that is not trusted here',
  // What OpenSSL has no name for in Node: at its level 2 keys below RSA 2048, and SHA-1.
  UNSPECIFIED: 'is not trusted: its key, or a signature of its chain, is weaker than is taken today',
};

/** `code`: `authorizationError` of a socket; `peer`: what the certificate would have to be for. */
export function chainProblemText(code: string, peer: 'client' | 'server'): string {
  if (code === 'INVALID_PURPOSE') return `is not for ${peer}s (extended key usage)`;
  return PROBLEMS[code] ?? `is not trusted (${code})`;
}
