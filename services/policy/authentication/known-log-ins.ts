import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Settings } from '#cluster/config/settings.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import { makeFolder } from '#shared/files/folder.ts';
import { replaceFile } from '#shared/files/replace.ts';
import type { Logger } from '#shared/log.ts';
import { SharedCount } from '../contract.ts';
import type { SharedCounts } from '../rates/shared-counts.ts';

/**
 * Where users are known (failures.ts), over restarts: without it nobody would be known after a restart of the whole cluster,
 * and guesses from many networks could lock users out at home.
 *
 * `log-ins.json` in the data folder is a copy of what this instance has counted itself; that of the others is for them to
 * keep. It is written every `SAVE_MS` where something changed, and at the stop. Without it, or with a damaged one, users
 * become known again as they log in.
 */

const SAVE_MS = 300_000;

export type KnownLogInsDeps = { settings: Settings; counts: SharedCounts; log: Logger };

export class KnownLogIns {
  readonly #counts: SharedCounts;
  readonly #log: Logger;
  readonly #file: string;
  /** The text of the file. */
  #written = '[]';
  #saving: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor({ settings, counts, log }: KnownLogInsDeps) {
    this.#counts = counts;
    this.#log = log;
    this.#file = join(settings.current.node.data, 'log-ins.json');
  }

  /** Before the counts start. */
  async start(): Promise<void> {
    try {
      this.#written = await readFile(this.#file, 'utf8');
      for (const count of SharedCount.array().parse(JSON.parse(this.#written))) this.#counts.restore('log-ins', count);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') {
        const fields = { file: this.#file, error: errorText(error) };
        this.#log.warn(fields, 'log-ins of before the start cannot be read: users become known again as they log in');
      }
    }
    this.#timer = setInterval(() => this.#save(), SAVE_MS).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#save();
    await this.#saving;
  }

  #save(): void {
    const text = JSON.stringify(this.#counts.own('log-ins'));
    if (text === this.#written) return;
    this.#written = text;
    this.#saving = this.#saving
      .then(() => makeFolder(dirname(this.#file)))
      .then(() => replaceFile(this.#file, text))
      .catch((error: unknown) => {
        this.#written = '';
        this.#log.warn({ file: this.#file, error: errorText(error) }, 'log-ins cannot be saved');
      });
  }
}
