/**
 * The inner parts of mailauth that are used; it has types for the outer ones only. They may change with any release, so
 * package.json pins the exact version.
 */
declare module 'mailauth/lib/dkim/dkim-verifier.js' {
  import type { Writable } from 'node:stream';
  import type { HeaderRow, KeyCache, Lookup } from 'mailauth/lib/tools.js';

  export type Signature = {
    type: 'DKIM' | 'ARC';
    /** The field without its CRLF. */
    original: Buffer;
    parsed: { [tag: string]: { value: string | number } | undefined };
    signingDomain: string;
    selector: string;
    identity?: string;
    /** The domain of `identity`, where i= says one. */
    identityDomain?: string;
    algorithm: string;
    signAlgo: string;
    hashAlgo: string;
    canonicalization: string;
    bodyCanon: string;
    timestamp: Date | null;
    expiration: Date | null;
    maxBodyLength: number | '';
    /** Why it is not looked at, or is not valid whatever its key. */
    skip?: string;
    invalid?: string;
  };
  export type SignatureResult = {
    status: { result: string; comment?: string | false; underSized?: number; testing?: boolean };
  };
  type ArcSet = { i: number; messageSignature?: SignatureResult; 'arc-seal'?: Pick<Signature, 'parsed'> };

  export class DkimVerifier extends Writable {
    constructor(options: { resolver: Lookup; strict: boolean; minBitLength: number; curTime: Date });
    headers: { parsed: HeaderRow[] };
    signatureHeaders: Signature[];
    keyCache: KeyCache;
    arc: { keyCache: KeyCache; lastEntry?: ArcSet };
    messageHeaders(headers: { parsed: HeaderRow[] }): Promise<void>;
    prepareSignature(signature: Signature): void;
    addBodyHash(): string;
    verifySignature(signature: Signature): Promise<SignatureResult>;
  }
}

declare module 'mailauth/lib/tools.js' {
  import type { KeyObject } from 'node:crypto';

  /** As node:dns/promises `resolve`: fails with ENOTFOUND, ENODATA … */
  export type Lookup = (name: string, type: string) => Promise<string[][] | string[]>;
  export type HeaderRow = { key: string; casedKey: string; line: Buffer };
  export type PublicKey = {
    publicKey: string | KeyObject;
    keyType?: string;
    /** t= of its record; `testing`: y is among them. */
    flags?: string[];
    testing?: boolean;
  };
  export type KeyOptions = { strict?: boolean; hashAlgo?: string };
  export type KeyCache = {
    resolver: Lookup;
    get(type: string, name: string, minBitLength: number, options: KeyOptions): Promise<PublicKey>;
  };
  export function getPublicKey(
    type: string,
    name: string,
    minBitLength: number,
    resolver: Lookup,
    options: KeyOptions,
  ): Promise<PublicKey>;
  export function toALabel(domain: string): string;
  export function normalizeDomainName(domain: string): string;
  /** Of the codes of `getPublicKey`, those that say that there is no key, or none for this. */
  export const KEY_ERROR_COMMENTS: ReadonlyMap<string, string>;
}

declare module 'mailauth/lib/dkim/header/index.js' {
  import type { HeaderRow } from 'mailauth/lib/tools.js';

  /** `signatureHeaderLine`: the field of the signature without its CRLF. */
  export function generateCanonicalizedHeader(
    type: 'DKIM' | 'ARC',
    lines: { headers: readonly HeaderRow[] },
    options: { signatureHeaderLine: Buffer; canonicalization: string; strict: boolean },
  ): { canonicalizedHeader: Buffer };
}

declare module 'mailauth/lib/dmarc/get-dmarc-record.js' {
  import type { Lookup } from 'mailauth/lib/tools.js';

  export default function getDmarcRecord(
    domain: string,
    resolver: Lookup,
    options: { strict: boolean },
  ): Promise<unknown>;
}

declare module 'mailauth/lib/dmarc/verify.js' {
  import type { Lookup } from 'mailauth/lib/tools.js';

  type Tags = { [tag: string]: string | number | false | undefined };
  export type DmarcResponse = {
    status: { result: string };
    /** The organizational domain of the author. */
    domain?: string;
    policyDomain?: string;
    policy?: string;
    p?: string;
    sp?: string;
    np?: string;
    testMode?: boolean;
    error?: string;
    alignment?: { spf: { result?: string; strict: boolean }; dkim: { result?: string; strict: boolean } };
    record?: Tags;
  };
  export function evaluateDmarc(options: {
    headerFrom: string[];
    fromFields: number;
    spfDomains: string[];
    dkimDomains: { domain: string }[];
    resolver: Lookup;
    strict: boolean;
  }): Promise<{ response: DmarcResponse | false; dkimAligned?: Set<string>; reason?: string }>;
}
