import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Call, Step } from './trace.ts';

/**
 * A disk behind a file system that keeps what POSIX promises, and no more: the bytes of a file as they were when its last
 * sync began, and the names in a folder as they were when the folder's last sync began. Of the changes of names since
 * then, each may be on disk or not, whatever became of those before it.
 */

type FileNode = { kind: 'file'; now: Buffer; synced: Buffer };
type FolderNode = { kind: 'folder'; now: Map<string, Node>; synced: Map<string, Node>; changes: Change[] };
type Node = FileNode | FolderNode;
/** `removed` loses its name, and `made` gets one. */
export type Change = { removed?: string; made?: [string, Node] };

/** Calls after which the names on disk may be others. */
const OF_NAMES = new Set(['openat', 'mkdir', 'rename', 'unlink']);

export class Disk {
  readonly #root: string;
  readonly #top: FolderNode = newFolder();
  readonly #open = new Map<number, { node: Node; offset: number }>();
  readonly #syncing = new Map<Call, () => void>();

  /** `root` is a folder that was empty, and whose name is on disk. */
  constructor(root: string) {
    this.#root = root;
  }

  /** Take one step of a trace; answers whether it changed a name. */
  step({ at, call }: Step): boolean {
    const { name, args, result } = call;
    if (name === 'fsync' || name === 'fdatasync') {
      this.#sync(at, call);
      return false;
    }
    if (at === 'begin') return false;
    const [path, other] = args.filter((arg) => Buffer.isBuffer(arg)).map(String);
    if (name === 'close') this.#open.delete(Number(args[0]));
    else if (name === 'openat') return this.#openAt(path ?? '', String(args[2]), result);
    else if (name === 'write') this.#write(Number(args[0]), args[1]);
    else if (name === 'mkdir') return this.#change(path, ([, base]) => ({ made: [base, newFolder()] }));
    else if (name === 'unlink') return this.#change(path, ([, base]) => ({ removed: base }));
    else if (name === 'rename') {
      return this.#change(path, ([folder, removed]) => ({
        removed,
        made: [basename(other ?? ''), folder.now.get(removed) ?? fail(`${path} is not there`)],
      }));
    }
    return OF_NAMES.has(name);
  }

  /**
   * Write into an empty folder what a power cut leaves now; `kept` decides on each change of names that is not synced.
   */
  async leave(folder: string, kept: (change: Change) => boolean): Promise<void> {
    await leaveFolder(this.#top, folder, kept);
  }

  #sync(at: Step['at'], call: Call): void {
    const node = this.#open.get(Number(call.args[0]))?.node;
    if (node === undefined) return;
    if (at === 'end') {
      this.#syncing.get(call)?.();
      this.#syncing.delete(call);
    } else if (node.kind === 'file') {
      const bytes = Buffer.from(node.now);
      this.#syncing.set(call, () => {
        node.synced = bytes;
      });
    } else {
      const [names, count] = [new Map(node.now), node.changes.length];
      this.#syncing.set(call, () => {
        node.synced = names;
        node.changes.splice(0, count);
      });
    }
  }

  #openAt(path: string, flags: string, handle: number): boolean {
    if (path === this.#root) this.#open.set(handle, { node: this.#top, offset: 0 });
    const place = this.#place(path);
    if (place === undefined) return false;
    const [folder, base] = place;
    const found = folder.now.get(base);
    const node = found ?? { kind: 'file', now: Buffer.alloc(0), synced: Buffer.alloc(0) };
    if (node.kind === 'file' && flags.includes('O_TRUNC')) node.now = Buffer.alloc(0);
    const offset = node.kind === 'file' && flags.includes('O_APPEND') ? node.now.length : 0;
    this.#open.set(handle, { node, offset });
    return found === undefined && change(folder, { made: [base, node] });
  }

  #write(handle: number, bytes: Call['args'][0] | undefined): void {
    const file = this.#open.get(handle);
    if (file?.node.kind !== 'file' || !Buffer.isBuffer(bytes)) return;
    file.node.now = Buffer.concat([
      file.node.now.subarray(0, file.offset),
      bytes,
      file.node.now.subarray(file.offset + bytes.length),
    ]);
    file.offset += bytes.length;
  }

  #change(path: string | undefined, make: (place: [FolderNode, string]) => Change): boolean {
    const place = this.#place(path ?? '');
    return place !== undefined && change(place[0], make(place));
  }

  /** The folder and the name in it; undefined for what is elsewhere. */
  #place(path: string): [FolderNode, string] | undefined {
    if (!path.startsWith(`${this.#root}/`)) return undefined;
    const above = dirname(path);
    if (above === this.#root) return [this.#top, basename(path)];
    const place = this.#place(above);
    const folder = place?.[0].now.get(place[1]);
    return folder?.kind === 'folder' ? [folder, basename(path)] : undefined;
  }
}

function change(folder: FolderNode, done: Change): true {
  apply(folder.now, done);
  folder.changes.push(done);
  return true;
}

function apply(names: Map<string, Node>, { removed, made }: Change): void {
  if (removed !== undefined) names.delete(removed);
  if (made !== undefined) names.set(...made);
}

async function leaveFolder(node: FolderNode, path: string, kept: (change: Change) => boolean): Promise<void> {
  const names = new Map(node.synced);
  for (const done of node.changes.filter(kept)) apply(names, done);
  for (const [base, below] of names) {
    if (below.kind === 'file') await writeFile(join(path, base), below.synced);
    else {
      await mkdir(join(path, base));
      await leaveFolder(below, join(path, base), kept);
    }
  }
}

function newFolder(): FolderNode {
  return { kind: 'folder', now: new Map(), synced: new Map(), changes: [] };
}

function fail(reason: string): never {
  throw new Error(reason);
}
