import { createHash } from 'node:crypto';
import { RelaxedBody } from './canonical-body.ts';

/** Body hash of DKIM with the "relaxed" canonicalization (RFC 6376 §3.4.4), as our own signatures have it. */
export class RelaxedBodyHash {
  readonly #hash = createHash('sha256');
  readonly #body = new RelaxedBody((piece) => void this.#hash.update(piece));

  /** Add the next bytes of the body, split anywhere. They are not kept. */
  update(bytes: Uint8Array): void {
    this.#body.update(bytes);
  }

  /** Base64 SHA-256 of the whole body: the value of `bh=`. Ends the computation. */
  digest(): string {
    this.#body.end();
    return this.#hash.digest('base64');
  }
}
