import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { locate } from '#test/kit/runner/peers.ts';

/** A real Chromium, without a window. Its profile is a temporary folder that goes with it. */

export type WindowOptions = {
  theme?: 'light' | 'dark';
  width?: number;
  height?: number;
  /** What paths are below: `page.goto('/keys')`. */
  origin?: string;
};

const THEMES = ['light', 'dark'] as const;
/** Of a telephone. */
const NARROW = { width: 380, height: 720 };

export class TestBrowser implements AsyncDisposable {
  readonly #browser: Browser;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async start(): Promise<TestBrowser> {
    const executablePath = locate('chromium');
    if (executablePath === undefined) throw new Error('there is no chromium');
    // Chromium's own sandbox does not start as root.
    const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
    return new TestBrowser(await chromium.launch({ executablePath, args: [...args, '--disable-dev-shm-usage'] }));
  }

  /** A window of its own: nobody is signed in. */
  async open({ theme = 'light', width = 1280, height = 900, origin }: WindowOptions = {}): Promise<TestWindow> {
    const context = await this.#browser.newContext({
      ...(origin !== undefined && { baseURL: origin }),
      // The console makes its certificate itself.
      ignoreHTTPSErrors: true,
      viewport: { width, height },
      colorScheme: theme,
      reducedMotion: 'reduce',
    });
    return new TestWindow(context, await context.newPage());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }
}

/**
 * A window, and what went wrong in it: errors in the browser's console, exceptions, violations of the content security
 * policy, modules that are not there, answers that are the server's fault. Closing it fails where there was any.
 */
export class TestWindow implements AsyncDisposable {
  readonly page: Page;
  readonly problems: string[] = [];
  readonly #context: BrowserContext;
  #isLoading = false;

  constructor(context: BrowserContext, page: Page) {
    this.#context = context;
    this.page = page;
    page.on('pageerror', (error) => this.problems.push(error.stack ?? error.message));
    page.on('console', (message) => {
      // Refusals of the API are here too, which the page shows and a test may provoke.
      if (message.type() !== 'error' || /^Failed to load resource/.test(message.text())) return;
      this.problems.push(`${message.text()} (${message.location().url})`);
    });
    page.on('requestfailed', (request) => {
      const reason = request.failure()?.errorText;
      // What it asks of the API it may give up, and tests end consoles.
      if (new URL(request.url()).pathname.startsWith('/api/') || reason === 'net::ERR_ABORTED') return;
      if (reason === 'net::ERR_NETWORK_CHANGED') void this.#loadAgain();
      else this.problems.push(`${reason} ${request.url()}`);
    });
    page.on('response', (response) => {
      const { pathname } = new URL(response.url());
      const fault = pathname.startsWith('/api/') ? 500 : 400;
      // 503: a service that was asked is away, as tests arrange.
      if (response.status() >= fault && response.status() !== 503) {
        this.problems.push(`${response.status()} ${response.url()}`);
      }
    });
  }

  /**
   * Chromium gives up what it is loading when an interface of this machine comes or goes, as those of containers do; a page without
   * one of its modules stays empty.
   */
  async #loadAgain(): Promise<void> {
    if (this.#isLoading) return;
    this.#isLoading = true;
    try {
      await this.page.waitForLoadState();
      await this.page.reload();
    } catch {
      // It is closed, or goes elsewhere.
    } finally {
      this.#isLoading = false;
    }
  }

  /** Fails where the page breaks a rule of axe-core, or is wider than its window. */
  async check(what = this.page.url()): Promise<void> {
    assert.deepEqual(await this.violations(), [], what);
    assert.equal(await this.#sideways(), 0, `${what} is wider than its window`);
  }

  /** The same in both themes, as wide as it is and on a narrow screen; the window is then as it was. */
  async checkScreens(): Promise<void> {
    const wide = this.page.viewportSize();
    const dark = await this.page.evaluate<boolean>("matchMedia('(prefers-color-scheme: dark)').matches");
    for (const size of wide === null || wide.width <= NARROW.width ? [NARROW] : [NARROW, wide]) {
      await this.page.setViewportSize(size);
      for (const colorScheme of THEMES) {
        await this.page.emulateMedia({ colorScheme });
        await this.check(`${this.page.url()}, ${colorScheme}, ${size.width} pixels wide`);
      }
    }
    await this.page.emulateMedia({ colorScheme: dark ? 'dark' : 'light' });
  }

  /** Rules of axe-core that the page breaks, each with where. */
  async violations(): Promise<string[]> {
    // Given as a script, the policy of the page would refuse it.
    if (await this.page.evaluate("!('axe' in globalThis)")) await this.page.evaluate(await axeSource());
    return this.page.evaluate(async () => {
      type Result = { id: string; help: string; nodes: { target: unknown; failureSummary?: string }[] };
      type Axe = { run: (options: object) => Promise<{ violations: Result[] }> };
      const { axe } = globalThis as unknown as { axe: Axe };
      const { violations } = await axe.run({ resultTypes: ['violations'] });
      return violations.flatMap(({ id, help, nodes }) =>
        nodes.map(({ target, failureSummary }) => `${id}: ${help}: ${JSON.stringify(target)} ${failureSummary ?? ''}`),
      );
    });
  }

  /** By how many pixels the page is wider than its window. */
  #sideways(): Promise<number> {
    return this.page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context.close();
    if (this.problems.length === 0) return;
    // Where the test has failed already, the runner would show neither.
    console.error(this.problems.join('\n'));
    throw new Error(`in the browser: ${this.problems.join('\n')}`);
  }
}

let source: Promise<string> | undefined;

function axeSource(): Promise<string> {
  source ??= readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  return source;
}
