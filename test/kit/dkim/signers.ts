import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { locate, type Peer } from '#test/kit/runner/peers.ts';
import { startPostfix } from '#test/kit/smtp/postfix.ts';
import { tempDir } from '#test/kit/temp.ts';

/** Signers of DKIM by others. */

/** A key in a file, and the record that publishes it. */
export type SigningKey = { file: string; record: string; algorithm: 'rsa-sha256' | 'ed25519-sha256' };

export async function rsaKey(folder: string, bits = 2048): Promise<SigningKey> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: bits });
  const file = join(folder, `rsa-${bits}.pem`);
  await writeFile(file, privateKey.export({ type: 'pkcs1', format: 'pem' }), { mode: 0o600 });
  const der = publicKey.export({ type: 'spki', format: 'der' });
  return { file, record: `v=DKIM1; k=rsa; p=${der.toString('base64')}`, algorithm: 'rsa-sha256' };
}

/** A key for dkimpy, which wants the seed alone. */
export async function ed25519Key(folder: string): Promise<SigningKey> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const file = join(folder, 'ed25519');
  const raw = (key: typeof privateKey, type: 'pkcs8' | 'spki'): string =>
    // The key itself ends its encoding (RFC 8410).
    (key.export({ type, format: 'der' } as never) as unknown as Buffer).subarray(-32).toString('base64');
  await writeFile(file, raw(privateKey, 'pkcs8'), { mode: 0o600 });
  return { file, record: `v=DKIM1; k=ed25519; p=${raw(publicKey, 'spki')}`, algorithm: 'ed25519-sha256' };
}

export type SignWith = { domain: string; selector: string; key: SigningKey; canonicalization: string };

/** The programs that sign a message in a file of its own, and the packages that they need. */
export const SIGNERS: { name: string; needs: Peer[]; sign: (message: Buffer, how: SignWith) => Promise<Buffer> }[] = [
  {
    name: 'dkimpy',
    needs: ['dkimsign'],
    async sign(message, { domain, selector, key, canonicalization }) {
      const [header = '', body = ''] = canonicalization.split('/');
      const how = ['--hcanon', header, '--bcanon', body, '--signalg', key.algorithm];
      return run('dkimsign', [...how, selector, domain, key.file], message);
    },
  },
  {
    name: 'Mail::DKIM',
    needs: ['/usr/share/perl5/Mail/DKIM.pm'],
    async sign(message, { domain, selector, key, canonicalization }) {
      const script = fileURLToPath(new URL('sign-with-mail-dkim.pl', import.meta.url));
      const signature = await run('perl', [script, domain, selector, key.file, canonicalization], message);
      return Buffer.concat([signature, message]);
    },
  },
  {
    name: 'OpenDKIM',
    needs: ['opendkim', 'miltertest'],
    async sign(message, how) {
      await using folder = await tempDir('opendkim');
      await using milter = await startOpenDkim(folder.path, how);
      const file = join(folder.path, 'message');
      await writeFile(file, message);
      const script = fileURLToPath(new URL('sign-with-opendkim.lua', import.meta.url));
      const socket = `inet:${milter.port}@127.0.0.1`;
      const value = await run('miltertest', ['-D', `socket=${socket}`, '-D', `message=${file}`, '-s', script]);
      const field = `DKIM-Signature: ${value.toString('latin1').trim().replace(/\r?\n/g, '\r\n')}\r\n`;
      return Buffer.concat([Buffer.from(field, 'latin1'), message]);
    },
  },
];

/** The signature that is refused today: OpenDKIM's test program knows no other. */
export function signWithSha1(message: Buffer, { domain, selector, key }: SignWith): Promise<Buffer> {
  return run('opendkim-testmsg', ['-C', '-d', domain, '-s', selector, '-k', key.file], message);
}

async function startOpenDkim(
  folder: string,
  { domain, selector, key, canonicalization }: SignWith,
): Promise<AsyncDisposable & { port: number }> {
  const port = await freePort();
  const config = join(folder, 'opendkim.conf');
  await writeFile(
    config,
    `Mode s\nDomain ${domain}\nSelector ${selector}\nKeyFile ${key.file}\nCanonicalization ${canonicalization}
Socket inet:${port}@127.0.0.1\nInternalHosts 127.0.0.1\nRequireSafeKeys no\nUserID root\n`,
  );
  const program = new Program('opendkim', ['-f', '-x', config]);
  // Asked to end it waits for five seconds.
  return { port, [Symbol.asyncDispose]: () => program.kill() };
}

async function run(command: string, args: string[], input: Buffer = Buffer.alloc(0)): Promise<Buffer> {
  const child = spawn(locate(command) ?? command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(input);
  return buffer(child.stdout);
}

/** Postfix that signs with OpenDKIM what it is given on `port`, and sends it to `relayTo` on this machine. */
export async function startSigningPostfix(
  folder: string,
  relayTo: number,
  how: SignWith,
): Promise<AsyncDisposable & { port: number; output: () => Promise<string> }> {
  await using undo = new AsyncDisposableStack();
  const port = await freePort();
  const milter = undo.use(await startOpenDkim(folder, how));
  const settings = `myhostname = mx.signed.example
mydestination =
mynetworks = 127.0.0.0/8
local_recipient_maps =
relayhost = [127.0.0.1]:${relayTo}
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_milters = inet:127.0.0.1:${milter.port}
milter_default_action = tempfail
`;
  undo.use(await startPostfix(folder, port, settings));
  const all = undo.move();
  const output = (): Promise<string> => readFile(join(folder, 'log'), 'utf8').catch(() => '');
  return { port, output, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
