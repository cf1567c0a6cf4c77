import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { tempDir } from '#test/kit/temp.ts';
import { noticeText } from './packages.ts';
import { ROOT } from './pages.ts';

/**
 * `npm run sbom`: writes sbom.cdx.json (CycloneDX), which npm makes from package-lock.json, and NOTICE. What differs
 * from one run or machine to the next is left out, so that both change only with the packages.
 */

type Sbom = {
  serialNumber?: string;
  metadata: { timestamp?: string; tools?: unknown; component: { name: string; purl: string } };
  components: { externalReferences?: { type: string }[] }[];
};

type Packages = { packages: Record<string, { dev?: boolean; devDependencies?: unknown }> };

const run = promisify(execFile);
// Of the packages that ship alone: "npm sbom --omit dev" leaves out those that a development package needs too.
await using folder = await tempDir();
const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as Record<string, unknown>;
const lock = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')) as Packages;
const packages = Object.entries(lock.packages).filter(([, { dev }]) => dev !== true);
delete manifest['devDependencies'];
delete lock.packages['']?.devDependencies;
await writeFile(join(folder.path, 'package.json'), JSON.stringify(manifest));
await writeFile(
  join(folder.path, 'package-lock.json'),
  JSON.stringify({ ...lock, packages: Object.fromEntries(packages) }),
);
const args = ['sbom', '--sbom-format', 'cyclonedx', '--sbom-type', 'application', '--package-lock-only'];
const { stdout } = await run('npm', args, { cwd: folder.path, maxBuffer: 64 * 1024 * 1024 });
const sbom = JSON.parse(stdout) as Sbom;

delete sbom.serialNumber;
delete sbom.metadata.timestamp;
delete sbom.metadata.tools;
// npm names the product after the folder that it lies in.
sbom.metadata.component.name = 'sealpost';
// Where a package came from is no part of it: that is another place for everybody with a mirror.
for (const component of sbom.components) {
  component.externalReferences = component.externalReferences?.filter(({ type }) => type !== 'distribution') ?? [];
}

await writeFile(join(ROOT, 'sbom.cdx.json'), `${JSON.stringify(sbom, null, 2)}\n`);
await writeFile(join(ROOT, 'NOTICE'), await noticeText());
