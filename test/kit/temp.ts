import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type TempDir = AsyncDisposable & { readonly path: string };

/** A new empty folder; disposing it removes it with everything below. */
export async function tempDir(label = 'sealpost'): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), `${label}-`));
  return {
    path,
    // A process that was just killed may still be writing: the retries outlast it.
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }),
  };
}
