import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
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
  // The interpreter that the dkim package was installed for.
  const python = /^#!(\S+)/.exec(await readFile(locate('dkimverify') ?? '', 'utf8'))?.[1] ?? 'python3';
  const script = fileURLToPath(new URL('verify-with-dkimpy.py', import.meta.url));
  await using program = new Program(python, [script, keys, ...files]);
  if ((await program.ended()) !== 0) throw new Error(`dkimpy failed:\n${program.output}`);
  const verdicts = JSON.parse(program.output) as Record<string, string[]>;
  return files.map((file) => verdicts[file] ?? []);
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
