import { freePort } from '#test/kit/free-port.ts';
import type { SealpostNode } from '#test/kit/nodes/node.ts';
import type { TestWindow } from './browser.ts';

/** The console of a node, and people who sign in to it. */

/** The section of sealpost.yaml, on a port that is free; `more`: more of its options. */
export async function consoleSection(more = ''): Promise<string> {
  const port = await freePort();
  return `console: { port: ${port}, origin: "https://127.0.0.1:${port}"${more === '' ? '' : `, ${more}`} }`;
}

/** A link that signs in once; `options`: those of `sealpost console link`. */
export async function signInLink(node: SealpostNode, ...options: string[]): Promise<string> {
  const printed = await node.sealpost('console', 'link', ...options);
  const link = /https:\/\/\S+/.exec(printed)?.[0];
  if (link === undefined) throw new Error(`no link in: ${printed}`);
  return link;
}

/** Sign a window in, to the overview. Answers where the console is. */
export async function signIn(window: TestWindow, node: SealpostNode, ...options: string[]): Promise<string> {
  const link = await signInLink(node, ...options);
  await window.page.goto(link);
  try {
    await window.page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
  } catch (cause) {
    throw new Error(`in place of the overview: ${await window.page.locator('body').innerText()}`, { cause });
  }
  return new URL(link).origin;
}
