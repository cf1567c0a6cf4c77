import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { noticeText } from './packages.ts';
import { ROOT } from './pages.ts';

/**
 * `npm run sbom`: writes sbom.cdx.json (CycloneDX), which npm makes from package-lock.json, and NOTICE. What differs from one run
 * or machine to the next is left out, so that both change only with the packages.
 */

type Sbom = {
  serialNumber?: string;
  metadata: { timestamp?: string; tools?: unknown; component: { name: string; purl: string } };
  components: { externalReferences?: { type: string }[] }[];
};

const run = promisify(execFile);
const args = [
  'sbom',
  '--sbom-format',
  'cyclonedx',
  '--sbom-type',
  'application',
  '--omit',
  'dev',
  '--package-lock-only',
];
const { stdout } = await run('npm', args, { cwd: ROOT, maxBuffer: 64 * 1024 * 1024 });
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
