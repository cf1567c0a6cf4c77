import { createPrivateKey } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * What gives a private key away wherever it is found: pieces of its secret numbers, raw, in hex and in base64 of any
 * alignment. A piece is 18 bytes, so none occurs by chance, and compression cannot hide random bytes.
 */
export function keyTraces(pem: string): Buffer[] {
  const jwk = createPrivateKey(pem).export({ format: 'jwk' });
  const secrets = [jwk.d, jwk.p, jwk.q, jwk.dp, jwk.dq, jwk.qi].flatMap((part) =>
    typeof part === 'string' ? [Buffer.from(part, 'base64url')] : [],
  );
  return secrets.flatMap((secret) => {
    const pieces: Buffer[] = [];
    for (let at = 0; at + 21 <= secret.length; at += 21) pieces.push(...writings(secret.subarray(at, at + 21)));
    return pieces;
  });
}

function writings(piece: Buffer): Buffer[] {
  const whole = piece.subarray(0, 18);
  // Base64 writes three bytes as four characters: what a piece looks like depends on where its triples begin.
  const aligned = [0, 1, 2].map((skip) => piece.subarray(skip, skip + 18).toString('base64'));
  const texts = [whole.toString('hex'), whole.toString('hex').toUpperCase(), ...aligned];
  const url = aligned.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
  return [whole, ...[...texts, ...url].map((text) => Buffer.from(text))];
}

/** The files below some folders, and where in them one of the traces is. */
export async function findTraces(
  folders: readonly string[],
  traces: readonly Buffer[],
): Promise<{ files: number; found: string[] }> {
  const found: string[] = [];
  let files = 0;
  for (const folder of folders) {
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      files++;
      const path = join(entry.parentPath, entry.name);
      const bytes = await readFile(path);
      if (traces.some((trace) => bytes.includes(trace))) found.push(path);
    }
  }
  return { files, found };
}
