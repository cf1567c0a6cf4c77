import type { Logger } from '#shared/log.ts';
import { ConfiguredFile } from './configured-file.ts';
import { type AnyDirectory, Directory, type Entries, type Question } from './directory.ts';

/**
 * What policy knows of users and recipients, from all places where that is written, in the order in which they are asked:
 * the users file of this node's configuration, then the cluster's directory. The first that knows a name answers.
 */
export class Directories {
  readonly #file: ConfiguredFile;
  /** The directory of the sources as they were last: they are the same objects for most questions. */
  #known: { file: Entries | null; directory: Directory } | undefined;

  constructor(log: Logger) {
    this.#file = new ConfiguredFile(log);
  }

  /**
   * A directory that can answer about these users and addresses; undefined where what is asked cannot be known now, null
   * where there is none.
   */
  ask(_question: Question): AnyDirectory | Promise<AnyDirectory> {
    const file = this.#file.current;
    if (file === undefined || file === null) return file;
    if (this.#known?.file !== file) this.#known = { file, directory: new Directory([file]) };
    return this.#known.directory;
  }

  /** Fails with `unreadable` or `invalid` where the users file cannot be used. */
  open(file: string | undefined): Promise<void> {
    return this.#file.open(file);
  }

  /** Another users file, or none. */
  change(file: string | undefined): Promise<void> {
    return this.#file.change(file);
  }

  close(): void {
    this.#file.close();
  }
}
