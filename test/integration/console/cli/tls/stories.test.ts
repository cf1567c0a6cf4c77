import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { connect } from 'node:tls';
import { generateNek } from '#shared/dkim/nek.ts';
import { sealpost } from '#test/kit/command.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { tempDir } from '#test/kit/temp.ts';
import { type Issued, issue } from '#test/kit/tls/issue.ts';
import { waitFor } from '#test/kit/wait.ts';

/** What goes wrong with certificates of our own, and the sentence that says so, wherever an administrator looks. */

const DAY_MS = 86_400_000;

let good: Issued;
let other: Issued;
let expired: Issued;
let middle: Issued;
before(async () => {
  const root = await issue('Test Root', { ca: true });
  middle = await issue('Test Middle', { by: root, ca: true });
  const kind = { by: middle, names: ['mx.test'] };
  good = await issue('mx.test', kind);
  other = await issue('mx.test', kind);
  expired = await issue('mx.test', { ...kind, from: Date.now() - 20 * DAY_MS, until: Date.now() - DAY_MS });
});

const config = (port: number, certificate = 'cert.pem'): string => `
node: { name: edge-1, hostname: mx.test, data: ./data }
credentials: { nek: ./nek.key }
tls: { certificate: ./${certificate}, key: ./key.pem }
listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: implicit }]
routes: [{ to: "*", via: discard }]
`;

type Story = {
  what: string;
  files: () => { certificate: string | undefined; key: string };
  /** What `config check` prints, and whether a start is refused with the same. */
  configCheck: RegExp;
  starts: boolean;
  tlsCheck: RegExp;
};

const STORIES: Story[] = [
  {
    what: 'a file name that is wrong',
    files: () => ({ certificate: undefined, key: good.key }),
    configCheck: /sealpost\.yaml:4: tls\.certificate: file \S+\/cert\.pem does not exist$/m,
    starts: false,
    tlsCheck:
      /^error: \S+\/cert\.pem: does not exist\. To do: put it there, or name the right file in tls\.certificate\.$/m,
  },
  {
    what: 'a key that does not match its certificate',
    files: () => ({ certificate: good.certificate + middle.certificate, key: other.key }),
    configCheck: /sealpost\.yaml:4: tls\.key: file \S+\/key\.pem is not the key of the certificate in \S+\/cert\.pem$/m,
    starts: false,
    tlsCheck:
      /^error: \S+\/key\.pem: is not the key of the certificate in \S+\. To do: name the key that the certificate was requested with; without it, make a new request and have a new certificate issued\.$/m,
  },
  {
    what: 'a certificate that has expired',
    files: () => ({ certificate: expired.certificate + middle.certificate, key: expired.key }),
    configCheck: /warning: the certificate in \S+\/cert\.pem expired on \d{4}-\d\d-\d\d$/m,
    starts: true,
    tlsCheck:
      /^error: \S+\/cert\.pem: the certificate expired on \d{4}-\d\d-\d\d, 1d.* ago\. To do: get a new one from Test Middle; the listeners load it as soon as the file changes\.$/m,
  },
  {
    what: 'a certificate without its chain',
    files: () => ({ certificate: good.certificate, key: good.key }),
    configCheck: /sealpost\.yaml is valid$/m,
    starts: true,
    tlsCheck:
      /^warning: \S+\/cert\.pem: the chain has a gap: the certificate was issued by Test Middle, which is neither in the file nor a public authority that clients know\. To do: add the certificate of Test Middle at the end/m,
  },
];

for (const { what, files, configCheck, starts, tlsCheck } of STORIES) {
  test(`${what} is named by "config check", "tls check" and at the start`, { timeout: 60_000 }, async () => {
    await using folder = await tempDir('story');
    const { certificate, key } = files();
    const file = join(folder.path, 'sealpost.yaml');
    await writeFile(file, config(await freePort()));
    await writeFile(join(folder.path, 'nek.key'), generateNek('test'), { mode: 0o600 });
    if (certificate !== undefined) await writeFile(join(folder.path, 'cert.pem'), certificate);
    await writeFile(join(folder.path, 'key.pem'), key, { mode: 0o600 });
    const run = (...args: string[]) => sealpost([...args, '--config', file], { cwd: folder.path });
    const checked = await run('config', 'check');
    assert.match(checked.stdout + checked.stderr, configCheck);
    assert.equal(checked.code, starts ? 0 : 1);
    assert.match((await run('tls', 'check')).stdout, tlsCheck);
    if (starts) return;
    const started = await run('start');
    assert.equal(started.code, 1);
    assert.match(started.stderr, configCheck);
  });
}

test('a certificate or key that cannot be used never replaces one that can, in a running node', {
  timeout: 120_000,
}, async () => {
  const port = await freePort();
  await using node = await SealpostNode.create({ file: config(port) });
  const path = (name: string): string => join(node.folder, name);
  /** As tools for certificates do it: written beside, then renamed. */
  const put = async (name: string, text: string): Promise<void> => {
    await writeFile(path(`${name}.new`), text, { mode: 0o600 });
    await rename(path(`${name}.new`), path(name));
  };
  await put('nek.key', generateNek('test'));
  await put('cert.pem', good.certificate);
  await put('key.pem', good.key);
  const program = await node.start();
  const shown = async (): Promise<Buffer> => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { raw } = socket.getPeerCertificate();
    socket.destroy();
    return raw;
  };
  assert.deepEqual(await shown(), good.der);
  const bad: [what: string, change: () => Promise<void>, sentence: RegExp][] = [
    [
      'a key of another certificate',
      () => put('key.pem', other.key),
      /the private key \S+key\.pem does not fit the certificate \S+cert\.pem.*"certificate cannot be used: the previous one stays in use"/,
    ],
    [
      'an expired certificate with its key',
      async () => {
        await put('cert.pem', expired.certificate);
        await put('key.pem', expired.key);
      },
      /cert\.pem expired on .*: get a new one.*"certificate cannot be used: the previous one stays in use"/,
    ],
    [
      'a file that is no certificate',
      () => put('cert.pem', 'not a certificate'),
      /cert\.pem holds no certificate in PEM form.*"certificate cannot be used: the previous one stays in use"/,
    ],
    [
      'a file name that is wrong',
      () => put('sealpost.yaml', config(port, 'certs.pem')),
      /tls\.certificate: file \S+\/certs\.pem does not exist/,
    ],
  ];
  for (const [what, change, sentence] of bad) {
    const from = program.output.length;
    await change();
    await program.waitForOutput(sentence, 30_000, from);
    assert.deepEqual(await shown(), good.der, what);
  }
  await put('sealpost.yaml', config(port));
  await put('key.pem', other.key);
  await put('cert.pem', other.certificate);
  await waitFor(async () => (await shown()).equals(other.der), { what: 'the good one', timeout: 30_000 });
});
