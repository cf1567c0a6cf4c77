import { dirname } from 'node:path';
import { computedImports, specifiers, type Tree, target } from '#test/kit/source-tree.ts';

/**
 * Which file may name which, and how. Imports run down: shared ← cluster ← a service ← the composition ← the command
 * line.
 */

const CONTRACT = /^services\/[^/]+\/contract\.ts$/;
/** A contract that is long is put together of parts, by subject. Others see the whole. */
const PART = /^services\/[^/]+\/contract\//;
/** What runs in browsers. */
const PAGE = 'services/console/page/';
/** What the page may know of: types alone, since no browser gets these files. */
const SEEN_BY_PAGE = /^(?:shared|services\/console\/schemas)\//;
/** The store of a service that does not run. */
const CLOSED = /^services\/[^/]+\/closed\.ts$/;
const TEST = /\.(?:test|scenario)\.ts$/;

/** Packages that one room alone may name, so that a successor is a change in that room. A folder ends with a slash. */
const HOMES: Readonly<Record<string, readonly string[]>> = {
  nats: ['cluster/bus/', 'cluster/replicated/'],
  level: ['cluster/level.ts'],
  'classic-level': [],
  'smtp-server': ['services/listener/smtp-server/'],
  commander: ['services/console/cli/'],
  pino: ['shared/log.ts'],
  'prom-client': ['shared/metrics.ts', 'services/console/metrics/'],
  jose: ['services/policy/authentication/'],
  '@peculiar/x509': ['cluster/certificate.ts'],
  'age-encryption': ['services/console/cli/backup/archive/'],
  'modern-tar': ['services/console/cli/backup/archive/'],
  'acme-client': ['services/credential-store/certificates/acme/'],
  fastify: ['services/console/http/'],
  '@fastify/cookie': ['services/console/http/'],
  '@fastify/helmet': ['services/console/http/'],
  '@fastify/rate-limit': ['services/console/http/'],
  '@fastify/swagger': ['services/console/http/'],
  'openid-client': ['services/console/http/'],
  preact: ['services/console/page/'],
  htm: ['services/console/page/'],
  uplot: ['services/console/page/'],
};

/** The walls: files within one name each other by `./`, files across one by `#`. In test/ each folder has its own. */
function room(file: string): string {
  if (file.startsWith(PAGE)) return 'services/console/page';
  const [area = '', service = '', inside] = file.split('/');
  if (area === 'test') return dirname(file);
  return area === 'services' && inside !== undefined ? `services/${service}` : area;
}

/** Why a file must not import another one; undefined where it may. */
export function objection(file: string, imported: string): string | undefined {
  if (file.startsWith('test/')) return testObjection(file, imported);
  const [from, to] = [room(file), room(imported)];
  if (imported.startsWith('test/')) return 'nothing that ships imports tests';
  if (from !== to && file.startsWith(PAGE)) {
    return SEEN_BY_PAGE.test(imported)
      ? undefined
      : 'the page knows what its API answers, and nothing else of the server';
  }
  if (from !== to && imported.startsWith(PAGE)) return 'the page is for browsers';
  if (imported === 'services/node.ts') {
    return file.startsWith('services/console/cli/') ? undefined : 'only the command line starts a node';
  }
  if (imported === 'services/closed-stores.ts') {
    return file.startsWith('services/console/cli/') ? undefined : 'only the command line opens closed stores';
  }
  if (imported === 'services/create.ts') {
    return file === 'services/node.ts' ? undefined : 'only a node makes services';
  }
  if (CONTRACT.test(file) || PART.test(file)) {
    const own = from === to && PART.test(imported);
    return own || to === 'shared' || CONTRACT.test(imported)
      ? undefined
      : 'a contract stands on shared and other contracts';
  }
  if (file.startsWith('services/console/reports/') && imported.startsWith('services/console/cli/')) {
    return 'reports know nothing of the command line';
  }
  if (to === from || to === 'shared') return undefined;
  if (from === 'shared') return 'shared knows nothing of ours but itself';
  if (to === 'cluster') return undefined;
  if (from === 'cluster') return 'the runtime knows no service';
  return serviceObjection(file, imported);
}

/** Of imports between services, the topology and the composition root. */
function serviceObjection(file: string, imported: string): string | undefined {
  const contract = CONTRACT.test(imported);
  if (file === 'services/topology.ts') return contract ? undefined : 'the topology sees contracts only';
  if (contract || imported === 'services/topology.ts') return undefined;
  if (file === 'services/create.ts') {
    return /^services\/[^/]+\/service\.ts$/.test(imported)
      ? undefined
      : 'the composition root sees the contracts and the services themselves, not what is inside of them';
  }
  if (file === 'services/closed-stores.ts' && CLOSED.test(imported)) return undefined;
  return 'of another service only contract.ts is seen';
}

function testObjection(file: string, imported: string): string | undefined {
  if (TEST.test(imported)) return 'no file imports a test';
  const kit = file.startsWith('test/kit/') || file.startsWith('test/suites/');
  return kit && /^test\/(?:unit|integration|scenarios|bench)\//.test(imported)
    ? 'the kit serves every ring of tests and knows none'
    : undefined;
}

/** Why a file must not name a package; undefined where it may. */
export function packageObjection(file: string, specifier: string): string | undefined {
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  const homes = Object.hasOwn(HOMES, name) ? HOMES[name] : undefined;
  if (homes === undefined || homes.some((home) => (home.endsWith('/') ? file.startsWith(home) : file === home))) {
    return undefined;
  }
  return homes.length === 0 ? 'no file needs this package' : `this package is for ${homes.join(' and ')}`;
}

/** Imports that break the walls, or are spelled as if they crossed one, or as if they did not. */
export function brokenImports(tree: Tree): string[] {
  return [...tree].flatMap(([file, text]) => [
    ...specifiers(text).flatMap((specifier) => {
      const reason = importProblem(file, specifier) ?? typesAlone(file, text, specifier);
      return reason === undefined ? [] : [`${file} imports ${specifier}: ${reason}`];
    }),
    ...(file.startsWith('test/') ? [] : computedImports(text)).map(
      (call) => `${file} has ${call}: nobody can see what it imports`,
    ),
  ]);
}

function importProblem(file: string, specifier: string): string | undefined {
  const imported = target(file, specifier);
  // Tests use packages as clients and to make them fail.
  if (imported === undefined) return file.startsWith('test/') ? undefined : packageObjection(file, specifier);
  return objection(file, imported) ?? misspelling(file, imported, specifier);
}

/** A browser that loads a module of the page finds nothing but other modules of it. */
function typesAlone(file: string, text: string, specifier: string): string | undefined {
  if (!file.startsWith(PAGE) || file.endsWith('.d.ts') || /^(?:\.|\/vendor\/)/.test(specifier)) return undefined;
  const values = specifiers(text.replace(/\b(?:import|export)\s+type\b[^;'"]*(['"])[^'"]*\1/g, ''));
  return values.includes(specifier) ? 'the page gets types alone from elsewhere: import type' : undefined;
}

function misspelling(file: string, imported: string, specifier: string): string | undefined {
  const inside = room(file) === room(imported);
  if (inside && specifier.startsWith('#')) return 'within one wall the path is relative';
  return inside || specifier.startsWith('#') ? undefined : 'across a wall the path begins with #';
}

/** Files that import each other in a loop, each loop as one line. Imports of types count. */
export function circles(tree: Tree): string[] {
  return loops(new Map([...tree].map(([file, text]) => [file, importsOf(file, text).filter((f) => tree.has(f))])));
}

/** Folders within a wall that import each other in a loop; what stands beside them (service.ts, facts.ts) is in none. */
export function folderCircles(tree: Tree): string[] {
  const edges = new Map<string, string[]>();
  for (const [file, text] of tree) {
    const from = folderOf(file);
    if (from === undefined) continue;
    const to = importsOf(file, text).flatMap((imported) => folderOf(imported) ?? []);
    edges.set(from, [...(edges.get(from) ?? []), ...to.filter((folder) => folder !== from)]);
  }
  return loops(edges);
}

function importsOf(file: string, text: string): string[] {
  return specifiers(text).flatMap((specifier) => target(file, specifier) ?? []);
}

/** The first folder behind a wall: `services/router/queue`, `cluster/bus`. */
function folderOf(file: string): string | undefined {
  const parts = file.split('/');
  const depth = parts[0] === 'services' ? 3 : 2;
  return parts.length > depth ? parts.slice(0, depth).join('/') : undefined;
}

function loops(edges: ReadonlyMap<string, readonly string[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (place: string, path: readonly string[]): void => {
    const start = path.indexOf(place);
    if (start >= 0) found.push([...path.slice(start), place].join(' → '));
    if (start >= 0 || done.has(place)) return;
    for (const next of edges.get(place) ?? []) visit(next, [...path, place]);
    done.add(place);
  };
  for (const place of edges.keys()) visit(place, []);
  return found;
}
