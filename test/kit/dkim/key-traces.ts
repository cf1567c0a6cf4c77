import { createPrivateKey } from 'node:crypto';
import { cp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import { tempDir } from '#test/kit/temp.ts';

/**
 * What gives a private key away wherever it is found: pieces of its secret numbers, raw, in hex, in base64 of any
 * alignment and as the numbers of a buffer in JSON. A piece is 18 bytes, so none occurs by chance, and compression
 * cannot hide random bytes. It may hide their digits, so what LevelDB holds is also searched as it reads back.
 */
export function keyTraces(pem: string): Buffer[] {
  const jwk = createPrivateKey(pem).export({ format: 'jwk' });
  const secrets = [jwk.d, jwk.p, jwk.q, jwk.dp, jwk.dq, jwk.qi].flatMap((part) =>
    typeof part === 'string' ? [Buffer.from(part, 'base64url')] : [],
  );
  return secrets.flatMap(secretTraces);
}

/** The same of any secret bytes, at least 21 of them. */
export function secretTraces(secret: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at + 21 <= secret.length; at += 21) pieces.push(...writings(secret.subarray(at, at + 21)));
  return pieces;
}

function writings(piece: Buffer): Buffer[] {
  const whole = piece.subarray(0, 18);
  // Base64 writes three bytes as four characters: what a piece looks like depends on where its triples begin.
  const aligned = [0, 1, 2].map((skip) => piece.subarray(skip, skip + 18).toString('base64'));
  const texts = [whole.toString('hex'), whole.toString('hex').toUpperCase(), [...whole].join(), ...aligned];
  const url = aligned.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
  return [whole, ...[...texts, ...url].map((text) => Buffer.from(text))];
}

/** The files below some folders, and where in them one of the traces is. No LevelDB among them may be open. */
export async function findTraces(
  folders: readonly string[],
  traces: readonly Buffer[],
): Promise<{ files: number; entries: number; found: string[] }> {
  const found: string[] = [];
  let files = 0;
  let entries = 0;
  const search = (bytes: Buffer, where: string): void => {
    if (traces.some((trace) => bytes.includes(trace))) found.push(where);
  };
  for (const folder of folders) {
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      files++;
      search(await readFile(join(entry.parentPath, entry.name)), join(entry.parentPath, entry.name));
      if (entry.name !== 'CURRENT') continue;
      for await (const bytes of levelEntries(entry.parentPath)) {
        entries++;
        search(bytes, entry.parentPath);
      }
    }
  }
  return { files, entries, found };
}

/** Every key and value of a LevelDB, in a copy of it: opening one changes its files. */
async function* levelEntries(folder: string): AsyncGenerator<Buffer> {
  await using copy = await tempDir('level');
  await cp(folder, copy.path, { recursive: true });
  const options = { keyEncoding: 'buffer', valueEncoding: 'buffer', createIfMissing: false };
  const db = new Level<Buffer, Buffer>(copy.path, options);
  await db.open();
  try {
    for await (const entry of db.iterator()) yield Buffer.concat(entry);
  } finally {
    await db.close();
  }
}
