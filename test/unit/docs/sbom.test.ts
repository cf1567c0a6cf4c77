import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { compare, noticeText, shippedPackages } from '#test/kit/docs/packages.ts';
import { ROOT } from '#test/kit/docs/pages.ts';

/** The bill of materials and NOTICE agree with the packages that ship; `npm run sbom` writes both. */

type Component = { name: string; version: string; hashes: { alg: string; content: string }[] };

const text = await readFile(join(ROOT, 'sbom.cdx.json'), 'utf8');
const sbom = JSON.parse(text) as {
  bomFormat: string;
  components: Component[];
  dependencies: { ref: string; dependsOn: string[] }[];
};

test('the bill of materials has every package that ships, with the checksum of package-lock.json, and no other', async () => {
  assert.equal(sbom.bomFormat, 'CycloneDX');
  const listed = sbom.components.map(({ name, version, hashes }) => {
    const sha512 = hashes.find(({ alg }) => alg === 'SHA-512')?.content;
    return `${name}@${version} ${sha512}`;
  });
  // The same version in two folders is one component.
  const shipped = [
    ...new Set((await shippedPackages()).map(({ name, version, sha512 }) => `${name}@${version} ${sha512}`)),
  ];
  assert.ok(shipped.length > 10);
  assert.deepEqual(listed.toSorted(compare), shipped.toSorted(compare));
});

test('the bill of materials names the direct dependencies', async () => {
  const manifest = await readFile(join(ROOT, 'package.json'), 'utf8');
  const { version, dependencies } = JSON.parse(manifest) as { version: string; dependencies: Record<string, string> };
  const direct = Object.entries(dependencies).map(([name, exact]) => `${name}@${exact}`);
  const own = sbom.dependencies.find(({ ref }) => ref === `sealpost@${version}`);
  assert.deepEqual(own?.dependsOn.toSorted(compare), direct.toSorted(compare));
});

test('the bill of materials says nothing of when and where it was made', () => {
  assert.doesNotMatch(text, /serialNumber|timestamp|registry|tarball/);
});

test('NOTICE is what "npm run sbom" writes', async () => {
  assert.equal(await readFile(join(ROOT, 'NOTICE'), 'utf8'), await noticeText());
});
