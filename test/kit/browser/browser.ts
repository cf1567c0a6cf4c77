import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { locate } from '#test/kit/runner/peers.ts';

/** A real Chromium, without a window. Its profile is a temporary folder that goes with it. */

export type WindowOptions = {
  theme?: 'light' | 'dark';
  width?: number;
  height?: number;
};

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
  async open({ theme = 'light', width = 1280, height = 900 }: WindowOptions = {}): Promise<TestWindow> {
    const context = await this.#browser.newContext({
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

  constructor(context: BrowserContext, page: Page) {
    this.#context = context;
    this.page = page;
    page.on('pageerror', (error) => this.problems.push(error.stack ?? error.message));
    page.on('console', (message) => {
      // Refusals of the API are here too, which the page shows and a test may provoke.
      if (message.type() !== 'error' || /^Failed to load resource/.test(message.text())) return;
      this.problems.push(`${message.text()} (${message.location().url})`);
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

  /** Rules of axe-core that the page breaks, each with where. */
  async violations(): Promise<string[]> {
    // Given as a script, the policy of the page would refuse it.
    await this.page.evaluate(await axeSource());
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
  sideways(): Promise<number> {
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
