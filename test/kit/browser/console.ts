import { after, before } from 'node:test';
import type { Role } from '#services/console/contract.ts';
import { freePort } from '#test/kit/free-port.ts';
import type { SealpostNode } from '#test/kit/nodes/node.ts';
import { waitFor } from '#test/kit/wait.ts';
import { TestBrowser, type TestWindow, type WindowOptions } from './browser.ts';

/** Consoles of nodes in a browser, and people who sign in to them. */

/** The section of sealpost.yaml, on a port that is free; `more`: more of its options. */
export async function consoleSection(more = ''): Promise<string> {
  const port = await freePort();
  return `console: { port: ${port}, origin: "https://127.0.0.1:${port}"${more === '' ? '' : `, ${more}`} }`;
}

/** Who is signed in. */
type Visitor = { role?: Role; domains?: string[] };

/** A link that signs in once, as `sealpost console link` makes it; by default for an operator of all domains. */
export async function signInLink(node: SealpostNode, { role = 'operator', domains }: Visitor = {}): Promise<string> {
  const link = { role, person: 'tester', ...(domains !== undefined && { domains }) };
  return (await node.client('console')['link-create'](link)).url;
}

export type Visit = Visitor & Omit<WindowOptions, 'origin'>;

/**
 * A window in which somebody who is signed in looks at a page of a node's console. The sign-in itself is asked of the API, as
 * the page asks it with a link.
 */
export async function openConsole(
  browser: TestBrowser,
  node: SealpostNode,
  path: string,
  { role, domains, ...look }: Visit = {},
): Promise<TestWindow> {
  const visitor = { ...(role !== undefined && { role }), ...(domains !== undefined && { domains }) };
  const { origin, hash } = new URL(await signInLink(node, visitor));
  await using undo = new AsyncDisposableStack();
  const window = undo.use(await browser.open({ ...look, origin }));
  // The window keeps the cookie.
  const answer = await window.page.request.post('/api/sign-in', {
    headers: { origin, 'x-sealpost': '1' },
    data: { link: hash.slice(1) },
  });
  if (!answer.ok()) throw new Error(`not signed in: ${answer.status()} ${await answer.text()}`);
  // It fails where an interface of this machine comes or goes at that moment: see TestWindow.
  await waitFor(async () => (await window.page.goto(path)) !== null, { what: `the page ${path}` });
  undo.move();
  return window;
}

type Site = AsyncDisposable & { readonly nodes: readonly SealpostNode[] };

/**
 * Nodes with consoles, and a browser, for the tests of a file or of a `describe`, in which it is made: they start before the first
 * of them and end after the last. Every window is of a session of its own.
 */
export class SiteInBrowser<S extends Site> {
  #running: { site: S; browser: TestBrowser } | undefined;

  constructor(start: () => Promise<S>) {
    const undo = new AsyncDisposableStack();
    before(async () => {
      const site = undo.use(await start());
      this.#running = { site, browser: undo.use(await TestBrowser.start()) };
    });
    after(() => undo.disposeAsync());
  }

  get site(): S {
    return this.#started().site;
  }

  get browser(): TestBrowser {
    return this.#started().browser;
  }

  /** A page of the console of a node, by its number from 1. */
  open(path: string, { node = 1, ...visit }: Visit & { node?: number } = {}): Promise<TestWindow> {
    const visited = this.site.nodes[node - 1];
    if (visited === undefined) throw new Error(`there is no node ${node}`);
    return openConsole(this.browser, visited, path, visit);
  }

  #started() {
    if (this.#running === undefined) throw new Error('site and browser start before the first test');
    return this.#running;
  }
}
