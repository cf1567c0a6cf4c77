import { execFile, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Program } from '#test/kit/program.ts';
import { locate } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';

/** Verifiers of DKIM signatures by others. They look keys up in what they are given, never in the DNS. */

/** The text of a TXT record by its name: `s1._domainkey.example.com` → `v=DKIM1; …`. */
export type DkimRecords = Record<string, string>;

/** dkimpy's verdict on each signature of each file, in the order of the header: `pass` or `fail`. Needs `dkimverify`. */
export async function verifyWithDkimpy(files: readonly string[], records: DkimRecords): Promise<string[][]> {
  await using dir = await tempDir();
  const keys = join(dir.path, 'keys.json');
  await writeFile(keys, JSON.stringify(records));
  await using program = new Program(await pythonOfDkimpy(), [scriptPath('verify-with-dkimpy.py'), keys, ...files]);
  if ((await program.ended()) !== 0) throw new Error(`dkimpy failed:\n${program.output}`);
  const verdicts = JSON.parse(program.output) as Record<string, string[]>;
  return files.map((file) => verdicts[file] ?? []);
}

export type HashedBody = { body: Buffer; canonicalization: 'simple' | 'relaxed'; length?: number | undefined };

/** dkimpy's base64 SHA-256 of each body. Needs `dkimverify`. */
export async function bodyHashesOfDkimpy(bodies: readonly HashedBody[]): Promise<string[]> {
  const rows = bodies.map((one) => [one.body.toString('base64'), one.canonicalization, one.length ?? null]);
  const child = spawn(await pythonOfDkimpy(), [scriptPath('body-hashes-of-dkimpy.py')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(JSON.stringify(rows));
  return JSON.parse(await text(child.stdout)) as string[];
}

/** The interpreter that the dkim package was installed for. */
async function pythonOfDkimpy(): Promise<string> {
  return /^#!(\S+)/.exec(await readFile(locate('dkimverify') ?? '', 'utf8'))?.[1] ?? 'python3';
}

function scriptPath(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/**
 * Whether OpenDKIM passes each file's first signature that it takes up, and which selector that had. It reads lines, and
 * passes over a last one without an end, which SMTP never produces. Needs `opendkim`.
 */
export async function verifyWithOpenDkim(
  files: readonly string[],
  records: DkimRecords,
): Promise<{ passed: boolean; selector: string | undefined; output: string }[]> {
  await using dir = await tempDir();
  const keys = join(dir.path, 'keys');
  const config = join(dir.path, 'opendkim.conf');
  await writeFile(
    keys,
    Object.entries(records).map(([name, text]) => `${name} ${text}\n`),
  );
  await writeFile(config, `Mode v\nTestDNSData file:${keys}\n`);
  const printed = await output('opendkim', ['-x', config, '-v', '-v', '-t', files.join(',')]);
  return files.map((file) => {
    const lines = printed
      .split('\n')
      .filter((line) => line.includes(`${file}:`))
      .join('\n');
    const selector = /verification \(s=([^,]+),/.exec(lines)?.[1];
    return { passed: /: verification .* succeeded/.test(lines), selector, output: lines };
  });
}

/** What a program prints on its two outputs, whole lines of each, whatever its exit code. */
function output(command: string, args: string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(locate(command) ?? command, args, { maxBuffer: 64 * 1024 * 1024 }, (_error, stdout, stderr) => {
      resolve(`${stdout}\n${stderr}`);
    });
  });
}
