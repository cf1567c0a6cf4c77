import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './pages.ts';

/** The packages that ship with Sealpost: what package-lock.json says of them, and what they say of themselves. */

/** `folder` from the root; `sha512` in hex. */
export type Package = { folder: string; name: string; version: string; licence: string; sha512: string };

type Lock = { packages: Record<string, { version: string; license?: string; integrity: string; dev?: boolean }> };

/** All but those for development, by name and version; one that is installed in several places is one. */
export async function shippedPackages(): Promise<Package[]> {
  const lock = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')) as Lock;
  const all = Object.entries(lock.packages)
    .filter(([folder, { dev = false }]) => folder !== '' && !dev)
    .map(([folder, { version, license = 'unknown', integrity }]) => ({
      ...{ folder, version, licence: license, name: folder.split('node_modules/').at(-1) ?? folder },
      sha512: Buffer.from(integrity.replace(/^sha512-/, ''), 'base64').toString('hex'),
    }))
    .sort((a, b) => compare(`${a.name}@${a.version}`, `${b.name}@${b.version}`));
  return [...new Map(all.map((one) => [`${one.name}@${one.version}`, one])).values()];
}

/** By code units: the same everywhere. */
export const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b));

const HEAD = `Sealpost
Licensed under the Apache License, Version 2.0; the file LICENSE has its text.

These packages ship with Sealpost in node_modules, each with the text of its licence. "npm run sbom" writes this list.
`;

/** The file NOTICE: every package that ships, with its licence and its copyright. */
export async function noticeText(): Promise<string> {
  const entries = (await shippedPackages()).map(async ({ folder, name, version, licence }) => {
    const lines = (await copyrights(join(ROOT, folder))).map((line) => `    ${line}\n`);
    return `\n${name} ${version}, ${licence}\n${lines.join('')}`;
  });
  return HEAD + (await Promise.all(entries)).join('');
}

/** The lines of a package's licence that name its owners. */
async function copyrights(folder: string): Promise<string[]> {
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|copying|notice)\b.*(?<!\.json)$/i.test(file));
  const texts = await Promise.all(files.sort().map((file) => readFile(join(folder, file), 'utf8')));
  const lines = texts.flatMap((text) => text.split('\n').map((line) => line.trim().replaceAll('*', '')));
  return [...new Set(lines.filter((line) => /^copyright (\(c\)|©|\d{4})/i.test(line)))];
}
