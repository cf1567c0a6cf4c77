import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { SealpostError } from '#shared/errors.ts';
import { sendError } from './errors.ts';

/**
 * The page: its modules, its style, and the packages that it is made of. All that can be asked for is in one table, which is
 * made when the console opens, so that no path leads anywhere else. Whatever address a page of the console has, the answer is
 * the one document, which shows it; who is not signed in gets it too, and nothing that it asks for.
 *
 * Modules are written in TypeScript and sent without their types, which become spaces: lines and columns stay.
 */

const PAGE = fileURLToPath(new URL('../page', import.meta.url));
const INDEX = '/page/index.html';

const TYPES: Readonly<Record<string, string>> = {
  '.ts': 'text/javascript; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Undefined as `mtime`: made once, and never changed. */
type Served = { type: string; read(): string; modified(): number | undefined };
type Kept = { modified: number | undefined; body: string; etag: string };

export function serveFiles(app: FastifyInstance): void {
  const files = new Map([...vendorFiles(), ...pageFiles()]);
  const kept = new Map<string, Kept>();
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, (request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '';
    const isPage = !/^\/(?:api|page|vendor)(?:\/|$)/.test(path);
    const name = isPage ? INDEX : path;
    const file = files.get(name);
    if ((request.method !== 'GET' && request.method !== 'HEAD') || file === undefined) {
      return sendError(reply, new SealpostError('not-found', 'there is nothing at this address'));
    }
    return send(request, reply, file.type, current(kept, name, file));
  });
}

function current(kept: Map<string, Kept>, name: string, file: Served): Kept {
  const modified = file.modified();
  const known = kept.get(name);
  if (known !== undefined && known.modified === modified) return known;
  const body = file.read();
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  const read = { modified, body, etag };
  kept.set(name, read);
  return read;
}

function send({ headers }: FastifyRequest, reply: FastifyReply, type: string, { body, etag }: Kept): FastifyReply {
  reply.header('etag', etag).header('cache-control', 'no-cache');
  if (headers['if-none-match'] === etag) return reply.code(304).send();
  return reply.code(200).header('content-type', type).send(body);
}

/** Modules answer to their name in the source, and to that of the script that they become. */
function pageFiles(): [string, Served][] {
  const found = readdirSync(PAGE, { recursive: true, withFileTypes: true });
  return found.flatMap((entry): [string, Served][] => {
    const file = join(entry.parentPath, entry.name);
    const type = TYPES[extname(file)];
    if (!entry.isFile() || type === undefined || file.endsWith('.d.ts')) return [];
    const name = `/page/${relative(PAGE, file).split(sep).join('/')}`;
    const text = (): string => readFileSync(file, 'utf8');
    const read = file.endsWith('.ts') ? () => stripTypeScriptTypes(text()) : text;
    const served = { type, read, modified: () => statSync(file).mtimeMs };
    return file.endsWith('.ts') ? [name, name.replace(/\.ts$/, '.js')].map((one) => [one, served]) : [[name, served]];
  });
}

/** Packages name each other by their names, for which browsers need addresses. */
function vendorFiles(): [string, Served][] {
  const preact = '/vendor/preact-core.js';
  const module = (url: string): string =>
    readFileSync(fileURLToPath(url), 'utf8')
      .replace(/\bfrom\s*(["'])preact\1/g, `from"${preact}"`)
      .replace(/^\/\/# sourceMappingURL=.*$/m, '');
  const script = (read: () => string): Served => ({ type: TYPES['.js'] ?? '', read, modified: () => undefined });
  const uplot = import.meta.resolve('uplot');
  return [
    ['/vendor/preact.js', script(() => PREACT)],
    [preact, script(() => module(import.meta.resolve('preact')))],
    ['/vendor/preact-hooks.js', script(() => module(import.meta.resolve('preact/hooks')))],
    ['/vendor/htm.js', script(() => module(new URL('./htm.module.js', import.meta.resolve('htm')).href))],
    ['/vendor/uplot.js', script(() => module(new URL('./uPlot.esm.js', uplot).href))],
    [
      '/vendor/uplot.css',
      { ...script(() => module(new URL('./uPlot.min.css', uplot).href)), type: TYPES['.css'] ?? '' },
    ],
  ];
}

/** Elements, hooks, and templates that make elements: what a module of the page imports. */
const PREACT = `import { h } from '/vendor/preact-core.js';
import htm from '/vendor/htm.js';
export * from '/vendor/preact-core.js';
export * from '/vendor/preact-hooks.js';
export const html = htm.bind(h);
`;
