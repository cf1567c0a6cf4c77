import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { type Fetched, lagOf, type StoreSource } from './source.ts';

/**
 * Keeps a copy of what the credential-stores have the newest.
 *
 * States:
 *   empty    from the start until a store answers: nothing is known. → current
 *   current  the last answer is adopted and nothing newer was announced. → stale
 *   stale    a newer revision was announced, or no store answered; what is held stays in use. → current
 *   closed   after `close`.
 *
 * The stores are asked (`source.ts`) at the start, when one announces a revision newer than the held one, when `askSoon` is
 * called, and every 30 s, because announcements may be lost; sooner while stale: a store that comes back may have nothing
 * new to announce, and mail may wait for it.
 * Answers with a revision below the held one are never adopted. When there is no other answer, the stores have lost
 * their data: that is reported.
 */

const REFRESH_MS = 30_000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 4000;
/** How long this node's store may take to catch up with that of another node before the latter is asked. */
const OWN_STORE_MS = 500;

export type FollowingDeps<Item> = {
  source: StoreSource<Item>;
  log: Logger;
  /** Use what was fetched from now on. */
  adopt: (fetched: Fetched<Item>) => void;
  /** What the log says when no store answers, and what that means for now. */
  failed: () => string;
};

export class Following<Item> {
  readonly #deps: FollowingDeps<Item>;
  #revision: number | undefined;
  /** The node whose store was adopted last. */
  #store: string | undefined;
  #behind: string | undefined = 'no credential-store was asked yet';
  /** Questions since it was last up to date. */
  #tries = 0;
  /** The last question had no answer that can be adopted. */
  #failing = false;
  #later: NodeJS.Timeout | undefined;
  #closed = false;
  /** Something happened since the last question: ask again immediately. */
  #woken = false;
  #wake: () => void = () => undefined;
  #listeners = new Set<() => void>();

  constructor(deps: FollowingDeps<Item>) {
    this.#deps = deps;
  }

  /** Resolves when the stores were asked once, whether one answered or not. */
  async open(): Promise<void> {
    await this.#ask();
    void this.#keepAsking();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#later);
    this.askSoon();
  }

  get loaded(): boolean {
    return this.#revision !== undefined;
  }

  get revision(): number {
    return this.#revision ?? 0;
  }

  /** The node from whose credential-store it comes. */
  get store(): string | undefined {
    return this.#store;
  }

  /** Why it may not be the newest; undefined when it is. */
  get behind(): string | undefined {
    return this.#behind;
  }

  get upToDate(): boolean {
    return this.loaded && this.#behind === undefined && this.revision >= this.#deps.source.newest;
  }

  /** Called when another revision is adopted, or why it is behind changes. */
  onNews(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A store changed something. */
  changed(said: { node: string; revision: number }): void {
    this.hear(said);
    // A store that lost a change and accepted another one has other records under the same revision.
    if (said.node === this.#deps.source.own && said.revision === this.revision) this.askSoon();
  }

  /**
   * A store said which revision it has. It has a change a moment later than the one that made it, and is asked instead of
   * that one.
   */
  hear({ node, revision }: { node: string; revision: number }): void {
    const { source } = this.#deps;
    const news = source.hear(node, revision);
    // If this node's store has an older revision than the held one, it lost data or has yet to catch up: find out now.
    const wentBack = node === source.own && revision < this.revision;
    if (!news || (this.upToDate && !wentBack)) return;
    if (source.mayWaitForOwn(node)) {
      this.#later ??= setTimeout(() => {
        this.#later = undefined;
        if (!this.upToDate) this.askSoon();
      }, OWN_STORE_MS);
    } else this.askSoon();
  }

  askSoon(): void {
    this.#woken = true;
    this.#wake();
  }

  async #keepAsking(): Promise<void> {
    while (!this.#closed) {
      if (!this.#woken) {
        const delayMs =
          this.#tries === 0 ? REFRESH_MS : Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#tries - 1));
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, delayMs);
          this.#wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      if (!this.#closed) await this.#ask();
    }
  }

  async #ask(): Promise<void> {
    this.#woken = false;
    const { source, log, adopt, failed } = this.#deps;
    const before = { revision: this.#revision, behind: this.#behind };
    const { newest } = source;
    try {
      const fetched = await source.fetch(this.revision);
      if (this.#closed) return;
      adopt(fetched);
      source.adopted(fetched);
      this.#revision = fetched.revision;
      this.#store = fetched.node;
      this.#behind = lagOf(fetched, newest);
      if (this.#failing) {
        log.info({ store: fetched.node, revision: fetched.revision }, 'the credential-store answers again');
      }
      this.#failing = false;
    } catch (error) {
      if (this.#closed) return;
      this.#behind = errorText(error);
      // One line when it begins; the status says the rest.
      if (!this.#failing) log.error({ error: this.#behind }, failed());
      this.#failing = true;
    }
    this.#tries = this.upToDate ? 0 : this.#tries + 1;
    if (before.revision !== this.#revision || before.behind !== this.#behind) {
      for (const listener of this.#listeners) listener();
    }
  }
}
