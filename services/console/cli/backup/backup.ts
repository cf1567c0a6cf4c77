import { resolve } from 'node:path';
import type { Config } from '#cluster/config/schema/schema.ts';
import { VERSION } from '#cluster/version.ts';
import type { RecordMap } from '#services/credential-store/contract.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { formatSize } from '#shared/units.ts';
import type { Progress } from '../mail/bulk/progress.ts';
import type { Lock } from './archive/encryption.ts';
import { entryOf, FORMAT, type Head, type Manifest } from './archive/manifest.ts';
import { ArchiveWriter, type Sink } from './archive/writer.ts';
import { ownerOf } from './closed-store.ts';
import { addFile, foldersOf, listFiles } from './files.ts';
import { NeededNeks, neksIn } from './neks.ts';
import { openSources, type Sources } from './sources.ts';

/**
 * `sealpost backup`: all that a cluster is, in one encrypted file; `restore.ts` is the way back.
 *
 * What is in it, and where it comes from
 *
 *   files         the configuration and every file that it names: NEKs, certificates, passwords, users; and what --include
 *                 names: the folder of `sealpost cluster init` with the authorities, that of nats-server. Read directly.
 *   environment   NEKs that stand in environment variables.
 *   records       what the credential-stores replicate: DKIM keys, certificates, NEKs by name, users, aliases, groups,
 *                 each as it stands in the stream, with its version, its history and its MAC, tombstones among them. From
 *                 one credential-store that runs, a page at a time (`record-list`), else from the store on this disk.
 *   queues        with --queue, the mail of every router, message by message: from each router that runs
 *                 (`message-copy`), and from the queue on this disk where the router of this node does not.
 *
 * Left out is what a node makes anew or what would do harm twice: the name of a queue's store and its claims, the second
 * copies of other nodes' mail, receipts, reports, captured mail, the greylist, the audit log. What NATS has is what the nodes
 * have.
 *
 * The form is a tar archive inside of `age`, so that without Sealpost `age -d backup.age | tar x` gives its parts as files:
 *
 *   sealpost-backup.json   format, version, time, node                                       (archive/manifest.ts)
 *   files/<path>  environment/<name>  records/<map>/<n>.jsonl
 *   queues/<node>/<queue id>/recipient-00000.json, body-00000, message.json                  the last makes it one
 *   manifest.json          the same as the first entry, and the SHA-256 of every part
 *
 * age authenticates each 64 KiB and the end, the manifest tells that no part is missing; `restore` reads all of it before it
 * writes anything. With public keys whoever has the file's place can put a file of his own there, as these are public: keep
 * backups where only you write.
 *
 * Nothing is in clear on disk, or held in memory but for some megabytes. The mail of a message that leaves the queue while it
 * is read is not in the backup: it was delivered, or handed to another router, whose page may have it.
 */
export type BackupOptions = {
  configFile: string | undefined;
  config: Config;
  lock: Lock;
  include: readonly string[];
  queue: boolean;
  progress: Progress;
};

/** `absent`: files that the configuration names and that are not on this machine. */
export type BackupResult = { manifest: Manifest; absent: string[]; warnings: string[] };

/** Fails with `no-nek` where the NEKs are not at hand, and as the sink does. */
export async function writeBackup(options: BackupOptions, sink: Sink): Promise<BackupResult> {
  const { config, configFile, include, lock } = options;
  // What cannot be read is told before anybody is asked for mail.
  const { files, absent } = await listFiles(configFile, config, include);
  await using sources = await openSources(config, options.queue);
  const owner = await ownerOf(config.node.data);
  const head: Head = {
    ...{ format: FORMAT, sealpost: VERSION, created: new Date().toISOString() },
    ...{ node: config.node.name, data: config.node.data },
    ...(configFile !== undefined && { config: resolve(configFile) }),
    ...(owner !== undefined && { owner }),
  };
  const archive = await ArchiveWriter.begin(lock, head, sink);
  try {
    const making = new Making(options, sources, archive);
    const manifest = { ...head, ...(await making.parts(files)) };
    await archive.finish(manifest);
    return { manifest, absent, warnings: making.warnings };
  } catch (error) {
    await archive.abort();
    throw error;
  }
}

class Making {
  readonly warnings: string[] = [];
  readonly #options: BackupOptions;
  readonly #sources: Sources;
  readonly #archive: ArchiveWriter;
  readonly #needed = new NeededNeks();
  #records = 0;
  #bytes = 0;
  #messages = 0;

  constructor(options: BackupOptions, sources: Sources, archive: ArchiveWriter) {
    this.#options = options;
    this.#sources = sources;
    this.#archive = archive;
  }

  async parts(files: readonly string[]): Promise<Omit<Manifest, keyof Head>> {
    const archive = this.#archive;
    const environment = await this.#environment();
    const parts = { files: [] as Manifest['files'], folders: await foldersOf(files), environment };
    for (const path of files) parts.files.push(await addFile(archive, path));
    const keys = await this.#addRecords('keys');
    const directory = await this.#addRecords('directory');
    this.#needed.assertIn(await neksIn(parts.files, this.#options.config));
    const { queues, missing } = await this.#addQueues();
    const { up, silent } = this.#sources.routers;
    const { node } = keys;
    return {
      ...parts,
      records: { node, keys: keys.folder, directory: directory.folder },
      queues,
      nodes: [...up, ...silent].toSorted(),
      missing,
    };
  }

  async #environment(): Promise<Manifest['environment']> {
    const { credentials, tls } = this.#options.config;
    const names = [credentials.nek, tls?.nek].flatMap((nek) => (typeof nek === 'object' ? [nek.env] : []));
    const added: Manifest['environment'] = [];
    for (const name of new Set(names)) {
      const value = process.env[name];
      if (value === undefined) continue;
      added.push({ name, ...(await this.#archive.add(entryOf.environment(name), Buffer.from(value))) });
    }
    return added;
  }

  async #addRecords(map: RecordMap) {
    const folder = this.#archive.folder();
    let [node, page, count] = ['', 0, 0];
    for await (const { records, behind, lost, ...from } of this.#sources.recordsOf(map)) {
      node = from.node;
      if (page === 0 && behind !== undefined) this.#warn(`node ${node} may not have the newest records: ${behind}`);
      if (lost > 0) this.#warn(`${lost} records of node ${node} cannot be read and are not in the backup`);
      for (const json of records) this.#needed.add(json);
      const text = Buffer.from(records.map((json) => `${json}\n`).join(''));
      if (records.length > 0) await folder.add(entryOf.records(map, ++page), text);
      count += records.length;
      this.#records += records.length;
      this.#show(text.length);
    }
    return { node, folder: { ...folder.end(), records: count } };
  }

  async #addQueues(): Promise<Pick<Manifest, 'queues' | 'missing'>> {
    const queues: Manifest['queues'] = [];
    if (!this.#options.queue) return { queues, missing: [] };
    const { up, silent } = this.#sources.routers;
    const missing = [...silent];
    for (const node of silent) this.#warn(`node ${node} says nothing: its mail is not in the backup`);
    for (const node of up) {
      const folder = this.#archive.folder();
      const [before, damaged] = [this.#messages, new Set<string>()];
      try {
        await this.#addMail(node, folder, damaged);
      } catch (error) {
        if (!(error instanceof SealpostError) || error.code === 'file-unreadable') throw error;
        missing.push(node);
        this.#warn(
          `node ${node} did not answer to the end, some of its mail is not in the backup: ${errorText(error)}`,
        );
      }
      if (damaged.size > 0) this.#warn(`${damaged.size} damaged messages of node ${node} are not in the backup`);
      queues.push({ node, messages: this.#messages - before, damaged: [...damaged], ...folder.end() });
    }
    return { queues, missing };
  }

  async #addMail(node: string, folder: ReturnType<ArchiveWriter['folder']>, damaged: Set<string>): Promise<void> {
    for await (const { records, bytes, damaged: found } of this.#sources.mailOf(node)) {
      for (const id of found) damaged.add(id);
      let at = 0;
      for (const { key, size } of records) {
        await folder.add(entryOf.mail(node, key), bytes.subarray(at, at + size));
        at += size;
        if (key.startsWith('message!')) this.#messages++;
      }
      this.#show(bytes.length);
    }
  }

  #warn(text: string): void {
    this.warnings.push(text);
  }

  #show(bytes: number): void {
    this.#bytes += bytes;
    const mail = this.#options.queue ? `, ${this.#messages} messages` : '';
    this.#options.progress.show(`${this.#records} records${mail}, ${formatSize(this.#bytes)}`);
  }
}
