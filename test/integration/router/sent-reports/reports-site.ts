import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { Resolve } from '#services/router/sent-reports/destinations.ts';
import type { SiteRouter } from '#test/integration/router/copies/router-site.ts';
import { tempDir } from '#test/kit/temp.ts';
import { type GivenJob, OK } from '#test/unit/router/fixture.ts';

const XSD = fileURLToPath(new URL('../../../kit/dmarc/dmarc-2.0.xsd', import.meta.url));

/** The name server of the tests: these TXT records, and no others. */
export function dnsOf(records: Record<string, string | Error>): Resolve {
  return async (name) => {
    const found = records[name];
    if (found instanceof Error) throw found;
    if (found === undefined) throw Object.assign(new Error(`no ${name}`), { code: 'ENOTFOUND' });
    return [[found]];
  };
}

export type Arrived = { to: string[]; header: string; file: string; xml: string };

/** A report as it was sent; its XML is checked against the schema. */
export async function arrived(job: Pick<GivenJob, 'to' | 'content'>): Promise<Arrived> {
  const content = await job.content();
  const end = content.indexOf('\r\n\r\n');
  const header = content.slice(0, end).replaceAll(/\r\n[ \t]/g, ' ');
  const file = /filename="([^"]+)"/.exec(content)?.[1] ?? '';
  const [, part = ''] = /Content-Type: application\/gzip[\s\S]*?\r\n\r\n([\s\S]*?)\r\n--/.exec(content) ?? [];
  const gzip = Buffer.from(part, 'base64');
  const xml = gunzipSync(gzip).toString();
  await using folder = await tempDir('report');
  const path = join(folder.path, 'report.xml');
  writeFileSync(path, xml);
  execFileSync('xmllint', ['--noout', '--nonet', '--schema', XSD, path], { stdio: ['ignore', 'ignore', 'pipe'] });
  return { to: job.to, header, file, xml };
}

/** Take the reports that a router has sent. */
export async function reportsOf({ router }: SiteRouter): Promise<Arrived[]> {
  const all: Arrived[] = [];
  for (const job of router.delivery.jobs.splice(0)) {
    all.push(await arrived(job));
    await job.end('delivered', OK);
  }
  return all;
}

/** The text of the first element of that name. */
export const textOf = (xml: string, name: string): string => new RegExp(`<${name}>([^<]*)<`).exec(xml)?.[1] ?? '';

/** Messages in all records. */
export const sumOf = (xml: string): number =>
  [...xml.matchAll(/<count>(\d+)</g)].reduce((sum, [, n]) => sum + Number(n), 0);
