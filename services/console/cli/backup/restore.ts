import { dirname, join } from 'node:path';
import { ControlClient } from '#cluster/bus/control-socket.ts';
import { parseConfig, requireConfig } from '#cluster/config/load.ts';
import { mapPaths } from '#cluster/config/paths.ts';
import { formatProblem } from '#cluster/config/problems/problem.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { formatDuration, formatSize } from '#shared/units.ts';
import { nodesOf } from '../../reports/mail/routers.ts';
import type { Caller } from '../context.ts';
import { usageError } from '../exit.ts';
import type { Progress } from '../mail/bulk/progress.ts';
import { sandboxConfig } from '../start/sandbox.ts';
import { type Checked, checkArchive } from './archive/check.ts';
import { type Manifest, parseEntry } from './archive/manifest.ts';
import { type ArchiveEntry, type ArchiveReader, contentOf } from './archive/reader.ts';
import { type At, type FilePlan, placeFile, placeFolders, planFiles } from './place-files.ts';
import { type MailCounts, type MailOptions, MailRestoration } from './restore-mail.ts';
import { type RecordCounts, RecordRestoration } from './restore-records.ts';
import { connectIfUp } from './sources.ts';

/**
 * `sealpost restore`: the way back of `backup.ts`, onto the disk of this machine, whose node does not run. It can be
 * repeated, and does no harm beside nodes that run: what is there stays.
 *
 *   1. The whole backup is read and checked. Nothing is written before its last byte is known to be right.
 *   2. Files: those that are there with the same content are left alone. One that differs stops everything.
 *      Those that are missing are written.
 *   3. Where other nodes of the cluster answer, they know better: a record that they have is left out (restore-records.ts),
 *      and so is mail that they have or had (restore-mail.ts).
 *   4. Records go into the store of the credentials, mail into the queue. The node has it all when it starts, and gives
 *      the others what they lack.
 *
 * The mail is restored only where --queue says so, for the queue of this node unless --node names others: on three machines
 * that are restored from one backup, each message must come back once.
 */
export type RestoreOptions = {
  archive: ArchiveReader;
  /** Everything goes below this folder, and nobody is asked: a trial. */
  root: string | undefined;
  dryRun: boolean;
  /** The configuration file of this machine; undefined: where it was. */
  config: string | undefined;
  files: boolean;
  records: boolean;
  mail: Pick<MailOptions, 'mode' | 'nodes' | 'lost'> | undefined;
  progress: Progress;
};

export type RestoreResult = {
  manifest: Manifest;
  data: string;
  files: FilePlan | undefined;
  records: RecordCounts | undefined;
  mail: { counts: MailCounts[]; left: string[] } | undefined;
  /** Nodes of the cluster that answered. */
  living: string[];
  /** What to know before the node starts. */
  warnings: string[];
};

/** Longest page of records, and longest record of mail. */
const MOST_PAGE = 16 * 1024 * 1024;

export async function restore(options: RestoreOptions): Promise<RestoreResult> {
  const { archive, root, dryRun, progress } = options;
  const show = (what: string) => (): void =>
    progress.show(`${what} ${formatSize(archive.position)} of ${formatSize(archive.size)}`);
  const checked = await checkArchive(archive, show('checking'));
  const { manifest } = checked;
  const strange = options.mail?.nodes?.filter((node) => !nodesIn(manifest).includes(node)) ?? [];
  if (strange.length > 0) throw usageError(`the backup knows no node ${strange.join(', ')}: --node`);
  const at: At = (path) => (root === undefined ? path : join(root, path));
  const files = options.files ? await planFiles(manifest.files, at) : undefined;
  if (files !== undefined && files.differing.length > 0) throw differing(files, at);
  const config = await configOf(checked, options, at);
  await assertStopped(config);
  if (!dryRun) {
    if (files !== undefined) await placeFolders(manifest.folders, at);
    await placeFolders([{ path: config.node.data, mode: 0o700, ...(manifest.owner ?? own()) }], (path) => path);
  }
  await using stores = new Stores(options, checked, config);
  const missing = new Map(files?.missing.map((file) => [file.path, file]));
  for await (const entry of archive.entries()) {
    show('restoring')();
    const what = parseEntry(entry.name);
    const file = what?.kind === 'file' && !dryRun ? missing.get(what.path) : undefined;
    if (file !== undefined) await placeFile(at(file.path), file, entry.body);
    else if (what?.kind === 'records') await (await stores.records())?.add(what.map, await textOf(entry));
    else if (what?.kind === 'mail') await (await stores.mail())?.add(what, () => contentOf(entry, MOST_PAGE));
  }
  const warnings = options.mail === undefined ? [] : receiptWarnings(manifest, config);
  return { manifest, data: config.node.data, files, warnings, ...(await stores.finish()) };
}

/** Routers forget what they delivered. */
function receiptWarnings({ created }: Manifest, { receipts: { keep } }: Config): string[] {
  if (Date.now() - Date.parse(created) < keep) return [];
  const text = `the backup is older than receipts.keep (${formatDuration(keep)}): nobody knows any more whether mail was delivered soon after it, and it may be delivered again`;
  return [text];
}

const own = () => ({ uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 });
const textOf = async (entry: ArchiveEntry): Promise<string> => (await contentOf(entry, MOST_PAGE)).toString();

/**
 * The stores of this machine, and what the nodes that run say. They are opened when the files of the backup are in place:
 * who asks on the bus needs its password.
 */
class Stores implements AsyncDisposable {
  readonly #options: RestoreOptions;
  readonly #checked: Checked;
  readonly #config: Config;
  readonly #resources = new AsyncDisposableStack();
  #opened: Promise<Opened> | undefined;

  constructor(options: RestoreOptions, checked: Checked, config: Config) {
    this.#options = options;
    this.#checked = checked;
    this.#config = config;
  }

  async records(): Promise<RecordRestoration | undefined> {
    return (await this.#open()).records;
  }

  async mail(): Promise<MailRestoration | undefined> {
    return (await this.#open()).mail;
  }

  async finish(): Promise<Pick<RestoreResult, 'records' | 'mail' | 'living'>> {
    const { records, mail, living } = await this.#open();
    await mail?.finish();
    const { created } = this.#checked.manifest;
    const messages = mail?.counts.reduce((sum, one) => sum + one.messages, 0) ?? 0;
    const about = `backup of ${created}: ${records?.counts.restored ?? 0} records, ${messages} messages`;
    if (!this.#options.dryRun) await records?.note(about);
    return { records: records?.counts, mail: mail && { counts: mail.counts, left: mail.left }, living };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#resources.disposeAsync();
  }

  #open(): Promise<Opened> {
    this.#opened ??= this.#begin();
    return this.#opened;
  }

  async #begin(): Promise<Opened> {
    const { dryRun, root } = this.#options;
    const { manifest } = this.#checked;
    const caller = root === undefined ? await this.#connect() : undefined;
    const living = caller === undefined ? [] : nodesOf(await caller.meet(), 'credential-store').up;
    const common = { config: this.#config, dryRun, owner: manifest.owner };
    const mailing = this.#options.mail && { ...common, ...this.#options.mail, caller, trial: root !== undefined };
    const mail = mailing && (await MailRestoration.begin(mailing, this.#checked, nodesIn(manifest)));
    if (mail !== undefined) this.#resources.use(mail);
    const others = living.length > 0 ? caller : undefined;
    const records = this.#options.records ? await RecordRestoration.begin({ ...common, living: others }) : undefined;
    if (records !== undefined) this.#resources.use(records);
    return { records, mail, living };
  }

  async #connect(): Promise<Caller | undefined> {
    try {
      const caller = await connectIfUp(this.#config);
      return caller && this.#resources.use(caller);
    } catch (error) {
      // In a dry run the password of the bus may not be there yet.
      if (this.#options.dryRun && errorCode(error) === 'secret-missing') return undefined;
      throw error;
    }
  }
}

type Opened = { records: RecordRestoration | undefined; mail: MailRestoration | undefined; living: string[] };

function differing({ differing: files }: FilePlan, at: At): SealpostError {
  const list = files.map(({ path }) => `  ${at(path)}`).join('\n');
  const text = `these files are there already, not as they are in the backup, and nothing was restored; move them away, or leave files out with --no-files:\n${list}`;
  return new SealpostError('exists', text);
}

/** The configuration as it is in the backup, or with --no-files as it is on this disk. Fails with `config-invalid`. */
async function configOf(
  { manifest, config: text }: Checked,
  { files, root, config: file }: RestoreOptions,
  at: At,
): Promise<Config> {
  const place = (config: Config): Config => (root === undefined ? config : mapPaths(config, at));
  const named = file ?? (manifest.config && at(manifest.config));
  if (named === undefined || manifest.config === undefined) return place(sandboxConfig(manifest.data));
  if (!files) return place((await requireConfig(named, { files: false })).config);
  const loaded = await parseConfig(text ?? '', dirname(manifest.config), { files: false });
  if (loaded.ok) return place(loaded.config);
  const problems = loaded.problems.map((problem) => formatProblem(manifest.config ?? '', problem));
  throw new SealpostError('config-invalid', ['the configuration in the backup is not valid', ...problems].join('\n'));
}

/** Fails with `node-running`. */
async function assertStopped({ node }: Config): Promise<void> {
  if (!(await new ControlClient(node.data).answers())) return;
  throw new SealpostError('node-running', `a node runs on ${node.data}: stop it, and restore then`);
}

const nodesIn = ({ nodes, queues }: Manifest): string[] => [...new Set([...nodes, ...queues.map(({ node }) => node)])];
