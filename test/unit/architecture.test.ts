import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The rules of the source tree that no compiler checks. */

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const LONGEST_FILE = 320;

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const sources = globSync('{shared,cluster,services}/**/*.ts', { cwd: ROOT }).toSorted();
const tests = globSync('test/**/*.ts', { cwd: ROOT }).toSorted();
const services = readdirSync(join(ROOT, 'services'));

/** Every module that a file names: import, export … from, import(). */
function specifiers(text: string): string[] {
  return [...text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"\n]+)\1/g)].flatMap((match) => match[2] ?? []);
}

/** The file of ours that a specifier means, from the root; undefined for packages and Node's own modules. */
function target(file: string, specifier: string): string | undefined {
  if (specifier.startsWith('#')) return specifier.slice(1);
  return specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : undefined;
}

/** Why a file must not import another one; undefined where it may. */
function objection(file: string, imported: string): string | undefined {
  const [area = '', service = ''] = file.split('/');
  const [toArea = '', toService = '', ...rest] = imported.split('/');
  if (toArea === 'test') return 'nothing that ships imports tests';
  if (toArea === 'shared') return undefined;
  if (area === 'shared') return 'shared knows nothing of ours but itself';
  if (toArea === 'cluster') return undefined;
  if (area === 'cluster') {
    const composes = file === 'cluster/node.ts' || file.startsWith('cluster/cli/');
    const connects = file === 'cluster/topology.ts' && rest.join('/') === 'contract.ts';
    return composes || connects ? undefined : 'in cluster only node.ts and cli/ see services, topology.ts contracts';
  }
  const contract = rest.join('/') === 'contract.ts';
  return toService === service || contract ? undefined : 'of another service only contract.ts may be imported';
}

describe('imports', () => {
  for (const [file, imported, allowed] of [
    ['shared/a.ts', 'cluster/bus/bus.ts', false],
    ['shared/a.ts', 'services/signer/contract.ts', false],
    ['cluster/actor.ts', 'services/signer/contract.ts', false],
    ['cluster/node.ts', 'services/signer/service.ts', true],
    ['cluster/topology.ts', 'services/signer/contract.ts', true],
    ['cluster/topology.ts', 'services/signer/service.ts', false],
    ['cluster/cli/keys.ts', 'services/credential-store/contract.ts', true],
    ['cluster/node.ts', 'test/kit/wait.ts', false],
    ['services/router/queue.ts', 'services/signer/contract.ts', true],
    ['services/router/queue.ts', 'services/signer/keys.ts', false],
    ['services/router/delivery/mx.ts', 'services/router/queue.ts', true],
    ['services/router/queue.ts', 'cluster/store.ts', true],
  ] as [string, string, boolean][]) {
    test(`the rule ${allowed ? 'lets' : 'keeps'} ${file} ${allowed ? '' : 'from '}import ${imported}`, () => {
      assert.equal(objection(file, imported) === undefined, allowed);
    });
  }

  test('specifiers are found however they are written', () => {
    const text = `import 'a';\nimport x from "b";\nimport {\n y\n} from 'c';\nexport * from 'd';\nawait import('e');\nimport type { T } from '#f';`;
    assert.deepEqual(specifiers(text), ['a', 'b', 'c', 'd', 'e', '#f']);
  });

  test('every file keeps the rules', () => {
    const broken = sources.flatMap((file) =>
      specifiers(read(file)).flatMap((specifier) => {
        const imported = target(file, specifier);
        const reason = imported === undefined ? undefined : objection(file, imported);
        return reason === undefined ? [] : [`${file} imports ${specifier}: ${reason}`];
      }),
    );
    assert.deepEqual(broken, []);
  });
});

test(`files are no longer than ${LONGEST_FILE} lines, or say why`, () => {
  const long = sources.filter((file) => {
    const text = read(file);
    return text.split('\n').length > LONGEST_FILE && !/\blong because\b/.test(text);
  });
  assert.deepEqual(long, []);
});

test('no test runs alone', () => {
  const alone = tests.filter((file) => /\b(?:test|it|describe|suite)\.only\(|\bonly: true\b/.test(read(file)));
  assert.deepEqual(alone, []);
});

test('bus subjects are spelled in one file only', () => {
  const literal = /['"`]sealpost\.v/;
  assert.match(read('cluster/bus/subjects.ts'), literal);
  const others = sources.filter((file) => file !== 'cluster/bus/subjects.ts' && literal.test(read(file)));
  assert.deepEqual(others, []);
});

test('every service has a contract and a service file', () => {
  const missing = services
    .flatMap((service) => ['contract.ts', 'service.ts'].map((file) => `services/${service}/${file}`))
    .filter((file) => !existsSync(join(ROOT, file)));
  assert.deepEqual(missing, []);
});

test('every test and script file belongs to a ring that runs it', () => {
  const named = tests.filter((file) => /\.(?:test|scenario)\.ts$/.test(file));
  const lost = named.filter(
    (file) => !/^test\/(?:unit|integration)\/.*\.test\.ts$|^test\/scenarios\/.*\.scenario\.ts$/.test(file),
  );
  assert.deepEqual(lost, []);
});

test('package versions are exact', () => {
  const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const versions = Object.entries({ ...manifest['dependencies'], ...manifest['devDependencies'] });
  assert.ok(versions.length > 0);
  assert.deepEqual(
    versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version)),
    [],
  );
});

test('the sources were found', () => {
  assert.ok(sources.length > 30, `${sources.length} files below ${relative(process.cwd(), ROOT)}`);
});
