import { isDeepStrictEqual } from 'node:util';
import { errorText, SealpostError } from '#shared/errors.ts';
import { ContentDigest, FolderDigest } from './digests.ts';
import { type Digest, type Entry, entryOf, FORMAT, HEAD, Head, MANIFEST, Manifest, parseEntry } from './manifest.ts';
import { type ArchiveEntry, type ArchiveReader, contentOf, damaged } from './reader.ts';

/** What a whole reading of a backup found. */
export type Checked = {
  manifest: Manifest;
  /** The text of the configuration file that is in it. */
  config: string | undefined;
  /** The queue ids of the whole messages, by node. */
  messages: ReadonlyMap<string, string[]>;
};

/** Longest head, manifest and configuration in bytes. */
const MOST_TEXT = 64 * 1024 * 1024;

/**
 * Read a backup from its beginning to its end, before anything is done with it: age tells whether a byte was changed or
 * the end is missing; the manifest, whether each part is there and no other. Fails with `backup-damaged` or
 * `backup-version`.
 */
export async function checkArchive(reader: ArchiveReader, onProgress: () => void): Promise<Checked> {
  const found = new Parts();
  let head: Head | undefined;
  let manifest: Manifest | undefined;
  let config: string | undefined;
  for await (const entry of reader.entries()) {
    onProgress();
    if (manifest !== undefined) throw damaged(new Error(`entry ${entry.name} comes after the manifest`));
    if (head === undefined) {
      if (entry.name !== HEAD) throw damaged(new Error(`it begins with ${entry.name}`));
      head = parseHead(await contentOf(entry, MOST_TEXT));
    } else if (entry.name === MANIFEST) {
      manifest = parseManifest(await contentOf(entry, MOST_TEXT));
    } else if (head.config !== undefined && entry.name === entryOf.file(head.config)) {
      const text = await contentOf(entry, MOST_TEXT);
      config = text.toString();
      await found.add({ ...entry, body: once(text) });
    } else {
      await found.add(entry);
    }
  }
  if (head === undefined || manifest === undefined) throw damaged(new Error('its manifest is missing'));
  found.compare(head, manifest);
  return { manifest, config, messages: found.messages };
}

function parseHead(bytes: Buffer): Head {
  const json = parseJson(bytes, HEAD);
  const { format, sealpost } = json as { format?: unknown; sealpost?: unknown };
  if (format !== FORMAT) {
    const text = `the backup has format ${format}, made by Sealpost ${sealpost}; this version reads format ${FORMAT}: restore it with that version`;
    throw new SealpostError('backup-version', text);
  }
  return parsed(Head, json, HEAD);
}

function parseManifest(bytes: Buffer): Manifest {
  return parsed(Manifest, parseJson(bytes, MANIFEST), MANIFEST);
}

function parseJson(bytes: Buffer, name: string): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch (error) {
    throw damaged(new Error(`${name} is not JSON: ${errorText(error)}`));
  }
}

function parsed<T>(schema: { parse(value: unknown): T }, json: unknown, name: string): T {
  try {
    return schema.parse(json);
  } catch (error) {
    throw damaged(new Error(`${name} is not what it should be: ${errorText(error)}`));
  }
}

/** What the entries are, as they are read. */
class Parts {
  readonly messages = new Map<string, string[]>();
  readonly #files = new Map<string, Digest>();
  readonly #environment = new Map<string, Digest>();
  readonly #records = { keys: new FolderDigest(), directory: new FolderDigest() };
  readonly #queues = new Map<string, FolderDigest>();

  async add(entry: ArchiveEntry): Promise<void> {
    const what = parseEntry(entry.name);
    if (what === undefined) throw damaged(new Error(`${entry.name} is no part of a backup`));
    if (what.kind === 'file' || what.kind === 'environment') {
      const [parts, name] = what.kind === 'file' ? [this.#files, what.path] : [this.#environment, what.name];
      if (parts.has(name)) throw damaged(new Error(`${entry.name} is there twice`));
      const digest = new ContentDigest();
      for await (const piece of entry.body) digest.update(piece);
      parts.set(name, digest.end());
      return;
    }
    const folder = this.#folderOf(what);
    folder.begin(entry.name, entry.size);
    for await (const piece of entry.body) folder.update(piece);
    if (what.kind === 'mail' && what.key.startsWith('message!')) this.messages.get(what.node)?.push(what.id);
  }

  /** Fails with `backup-damaged` unless the manifest tells of exactly these parts. */
  compare(head: Head, manifest: Manifest): void {
    const { files, environment, records, queues } = manifest;
    const told = Head.parse(manifest);
    if (!isDeepStrictEqual(told, head)) throw damaged(new Error(`${HEAD} and ${MANIFEST} tell different things`));
    const digestOf = ({ size, sha256 }: Digest): Digest => ({ size, sha256 });
    const folderOf = ({ entries, ...digest }: Digest & { entries: number }) => ({ entries, ...digestOf(digest) });
    const same =
      isDeepStrictEqual(this.#files, new Map(files.map((file) => [file.path, digestOf(file)]))) &&
      isDeepStrictEqual(this.#environment, new Map(environment.map((one) => [one.name, digestOf(one)]))) &&
      isDeepStrictEqual(this.#records.keys.end(), folderOf(records.keys)) &&
      isDeepStrictEqual(this.#records.directory.end(), folderOf(records.directory)) &&
      isDeepStrictEqual(
        new Map([...this.#queues].map(([node, folder]) => [node, folder.end()])),
        new Map(queues.filter(({ entries }) => entries > 0).map((queue) => [queue.node, folderOf(queue)])),
      ) &&
      queues.every(({ node, messages }) => (this.messages.get(node)?.length ?? 0) === messages);
    if (!same) throw damaged(new Error('its parts are not those of which its manifest tells'));
  }

  #folderOf(what: Extract<Entry, { kind: 'records' | 'mail' }>): FolderDigest {
    if (what.kind === 'records') return this.#records[what.map];
    let folder = this.#queues.get(what.node);
    if (folder === undefined) {
      folder = new FolderDigest();
      this.#queues.set(what.node, folder);
      this.messages.set(what.node, []);
    }
    return folder;
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
