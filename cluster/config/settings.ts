import type { Config } from './schema/schema.ts';

/**
 * The running configuration, as services see it: read `current` at every use, so that a change takes effect immediately.
 * `onChange` is for what is made from it once (a listening socket, a TLS context).
 */
export class Settings {
  #current: Config;
  /** Why the configuration file as it is now is not in force; undefined while it is. */
  refused: string | undefined;
  readonly #listeners = new Set<(next: Config, previous: Config) => void>();

  /** Where relative paths of its file start. */
  readonly folder: string;

  constructor(config: Config, folder = process.cwd()) {
    this.#current = config;
    this.folder = folder;
  }

  get current(): Config {
    return this.#current;
  }

  onChange(listener: (next: Config, previous: Config) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Put a checked configuration in force. */
  replace(next: Config): void {
    const previous = this.#current;
    this.#current = next;
    for (const listener of this.#listeners) listener(next, previous);
  }
}
