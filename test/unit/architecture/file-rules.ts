import type { Tree } from '#test/kit/source-tree.ts';

/** What single files must be and where they must stand. */

/** Tests that keep all others of their file from being run. */
export function lonelyTests(tests: Tree): string[] {
  return [...tests]
    .filter(([, text]) => /\b(?:test|it|describe|suite)\.only\(|\bonly: true\b/.test(text))
    .map(([file]) => file);
}

/** Files that spell a subject of the bus and are not the one that makes them. */
export function spelledSubjects(tree: Tree): string[] {
  return [...tree]
    .filter(([file, text]) => file !== 'cluster/bus/subjects.ts' && /['"`]sealpost\.v/.test(text))
    .map(([file]) => file);
}

/** What each service must have and does not. */
export function missingServiceFiles(tree: Tree): string[] {
  const names = new Set([...tree.keys()].flatMap((file) => /^services\/([^/]+)\//.exec(file)?.[1] ?? []));
  return [...names]
    .flatMap((name) => ['contract.ts', 'service.ts'].map((file) => `services/${name}/${file}`))
    .filter((file) => !tree.has(file));
}

/** Tests and scenarios that no ring runs. */
export function testsInNoRing(tests: Iterable<string>): string[] {
  return [...tests].filter(
    (file) =>
      /\.(?:test|scenario)\.ts$/.test(file) &&
      !/^test\/(?:unit|integration)\/.*\.test\.ts$|^test\/scenarios\/.*\.scenario\.ts$/.test(file),
  );
}

/**
 * Folders of the rings `unit` and `integration` to which nothing in the tree answers: `test/unit/router/queue` is about
 * `services/router/queue`, `test/unit/kit` about `test/kit`. `excused`: folder below its ring → why it has no
 * counterpart.
 */
export function strayTestFolders(
  tests: Iterable<string>,
  files: Iterable<string>,
  excused: Readonly<Record<string, string>>,
): string[] {
  const folders = new Set([...files].flatMap(foldersOf));
  const tested = new Set(
    [...tests].flatMap((file) => /^test\/(?:unit|integration)\/(.+)\/[^/]+$/.exec(file)?.[1] ?? []),
  );
  return [...tested].filter(
    (folder) =>
      ![folder, `services/${folder}`, `test/${folder}`].some((counterpart) => folders.has(counterpart)) &&
      excused[folder] === undefined,
  );
}

/** `a/b/c.ts` → `a/b`, `a`. */
function foldersOf(file: string): string[] {
  const parts = file.split('/').slice(0, -1);
  return parts.map((_, i) => parts.slice(0, i + 1).join('/'));
}

type Manifest = { dependencies?: Record<string, string>; devDependencies?: Record<string, string> };

/** Packages whose version is a range: npm under another Node would take others. */
export function looseVersions({ dependencies, devDependencies }: Manifest): string[] {
  return Object.entries({ ...dependencies, ...devDependencies })
    .filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))
    .map(([name]) => name);
}
