import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { packTar, type TarEntry } from 'modern-tar';
import { checkArchive } from '#services/console/cli/backup/archive/check.ts';
import type { Lock, Unlock } from '#services/console/cli/backup/archive/encryption.ts';
import {
  entryOf,
  FORMAT,
  HEAD,
  type Head,
  MANIFEST,
  type Manifest,
  parseEntry,
} from '#services/console/cli/backup/archive/manifest.ts';
import { ArchiveReader } from '#services/console/cli/backup/archive/reader.ts';
import { ArchiveWriter } from '#services/console/cli/backup/archive/writer.ts';
import { errorCode } from '#shared/errors.ts';
import { Secret } from '#shared/secret.ts';
import { tempDir } from '#test/kit/temp.ts';

/** The file of a backup: what goes in comes out, and whatever was cut or changed is refused. */

const identity = await generateX25519Identity();
const recipient = await identityToRecipient(identity);
const lock: Lock = { recipients: [recipient] };
const unlock: Unlock = { identities: [new Secret(identity)] };
const ID = '06FV3M9E0A00B1C2';

const head: Head = {
  ...{ format: FORMAT, sealpost: '1.2.3', created: '2026-11-30T20:00:00.000Z' },
  ...{ node: 'edge-1', data: '/var/lib/sealpost', config: '/etc/sealpost/sealpost.yaml' },
};

/** A backup of a bit more than three chunks of age. */
async function make(sink: (bytes: Uint8Array) => Promise<void>, closed = lock): Promise<Manifest> {
  const archive = await ArchiveWriter.begin(closed, head, sink);
  const text = Buffer.from('node: { name: edge-1 }\n');
  const place = { mode: 0o640, uid: 1, gid: 2 };
  const path = '/etc/sealpost/sealpost.yaml';
  const files = [{ path, ...place, ...(await archive.add(entryOf.file(path), text, place)) }];
  const keys = archive.folder();
  await keys.add(entryOf.records('keys', 1), Buffer.from('{"a":1}\n{"b":2}\n'));
  const mail = archive.folder();
  await mail.add(entryOf.mail('edge-1', `recipient!${ID}!00000`), Buffer.from('{}'));
  await mail.add(entryOf.mail('edge-1', `body!${ID}!00000`), Buffer.alloc(200_000, 'x'));
  await mail.add(entryOf.mail('edge-1', `message!${ID}`), Buffer.from('{}'));
  // This one left the queue while it was read.
  await mail.add(entryOf.mail('edge-1', 'recipient!06FV3M9E0A00B1C3!00000'), Buffer.from('{}'));
  const manifest: Manifest = {
    ...head,
    ...{ files, folders: [{ path: '/etc', mode: 0o755, uid: 0, gid: 0 }], environment: [] },
    records: {
      node: 'edge-1',
      keys: { ...keys.end(), records: 2 },
      directory: { ...archive.folder().end(), records: 0 },
    },
    queues: [{ node: 'edge-1', messages: 1, damaged: [], ...mail.end() }],
    ...{ nodes: ['edge-1'], missing: [] },
  };
  await archive.finish(manifest);
  return manifest;
}

async function made(closed = lock): Promise<{ bytes: Buffer; manifest: Manifest }> {
  const parts: Uint8Array[] = [];
  const manifest = await make(async (bytes) => void parts.push(bytes), closed);
  return { bytes: Buffer.concat(parts), manifest };
}

/** Check bytes as a backup. */
async function check(bytes: Uint8Array, opening: Unlock = unlock) {
  await using folder = await tempDir('archive');
  const file = join(folder.path, 'backup.age');
  await writeFile(file, bytes);
  await using reader = await ArchiveReader.open(file, async () => opening);
  return await checkArchive(reader, () => undefined);
}

/** The code of the error with which a backup is refused; undefined where it is not. */
const refusal = (bytes: Uint8Array, opening: Unlock = unlock) =>
  check(bytes, opening).then(
    () => undefined,
    (error: unknown) => {
      assert.ok(errorCode(error)?.startsWith('backup-') === true, error as Error);
      return errorCode(error);
    },
  );

const original = await made();

describe('a backup', () => {
  test('is read to its end where only the mail of one node is wanted', { timeout: 20_000 }, async () => {
    const parts: Uint8Array[] = [];
    const archive = await ArchiveWriter.begin(lock, head, async (bytes) => void parts.push(bytes));
    const nodes = ['edge-1', 'edge-2'];
    // A restoration reads the bodies of one node and leaves those of the others.
    for (const node of nodes) {
      for (let n = 0; n < 60; n++) await archive.add(`queues/${node}/${n}`, Buffer.alloc(33_000, 'x'));
    }
    await archive.finish({ ...original.manifest });
    await using folder = await tempDir('archive');
    const file = join(folder.path, 'backup.age');
    await writeFile(file, Buffer.concat(parts));
    for (const wanted of nodes) {
      await using reader = await ArchiveReader.open(file, async () => unlock);
      let bytes = 0;
      for await (const { name, body } of reader.entries()) {
        if (name.includes(wanted)) for await (const piece of body) bytes += piece.length;
      }
      assert.equal(bytes, 60 * 33_000, wanted);
    }
  });

  test('is read as it was made', async () => {
    const { manifest, config, messages } = await check(original.bytes);
    assert.deepEqual(manifest, original.manifest);
    assert.equal(config, 'node: { name: edge-1 }\n');
    assert.deepEqual(messages, new Map([['edge-1', [ID]]]));
  });

  test('opens with its passphrase and no other', { timeout: 60_000 }, async () => {
    const { bytes } = await made({ passphrase: new Secret('correct horse') });
    assert.equal(await refusal(bytes, { passphrase: new Secret('correct horse') }), undefined);
    assert.equal(await refusal(bytes, { passphrase: new Secret('correct horsf') }), 'backup-key');
    assert.equal(await refusal(bytes, unlock), 'backup-key');
  });

  test('opens with its private key and no other', async () => {
    const other = { identities: [new Secret(await generateX25519Identity())] };
    assert.equal(await refusal(original.bytes, other), 'backup-key');
    assert.equal(await refusal(original.bytes, { identities: [...other.identities, ...unlock.identities] }), undefined);
    assert.equal(await refusal(original.bytes, { passphrase: new Secret('x') }), 'backup-key');
  });

  test('says that a recipient is none, and nothing of a private key', async () => {
    await assert.rejects(made({ recipients: ['age1nonsense'] }), { code: 'usage' });
    const error = await check(original.bytes, { identities: [new Secret('AGE-SECRET-KEY-1NONSENSE')] }).catch(
      (thrown: unknown) => thrown,
    );
    assert.equal(errorCode(error), 'usage');
    assert.doesNotMatch(String(error), /NONSENSE/);
  });

  test('is refused when a byte of it was changed, wherever that is', async () => {
    const { bytes } = original;
    const header = bytes.indexOf('\n--- ');
    const payload = bytes.indexOf('\n', header + 1) + 1;
    const chunk = 64 * 1024 + 16;
    const places = {
      'the name of the format': [0, 10, 21],
      'the key for the recipient': [bytes.indexOf('-> X25519') + 12, header - 10],
      'the MAC of the beginning': [header + 6, payload - 3],
      'the nonce': [payload, payload + 15],
      'the first chunk': [payload + 16, payload + 16 + 1000, payload + 16 + chunk - 1],
      'a chunk in the middle': [payload + 16 + chunk, payload + 16 + 2 * chunk - 1],
      'the last chunk': [bytes.length - 17, bytes.length - 1],
    };
    for (const [what, offsets] of Object.entries(places)) {
      for (const at of offsets) {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ 1;
        assert.ok((await refusal(changed)) !== undefined, `${what}, byte ${at}`);
      }
    }
  });

  test('is refused when it was cut, wherever that is, or goes on', async () => {
    const { bytes } = original;
    const payload = bytes.indexOf('\n', bytes.indexOf('\n--- ') + 1) + 1;
    const chunk = 64 * 1024 + 16;
    for (const length of [0, 1, 21, 22, payload - 1, payload, payload + 15, payload + 16, payload + 17])
      assert.ok((await refusal(bytes.subarray(0, length))) !== undefined, `cut at ${length}`);
    // At the border of two chunks what is left consists of whole ones.
    for (const length of [payload + 16 + chunk, payload + 16 + 2 * chunk, bytes.length - 1, bytes.length - 512])
      assert.equal(await refusal(bytes.subarray(0, length)), 'backup-damaged', `cut at ${length}`);
    assert.equal(await refusal(Buffer.concat([bytes, Buffer.from('x')])), 'backup-damaged');
    const first = payload + 16;
    const swapped = Buffer.concat([
      bytes.subarray(0, first),
      bytes.subarray(first + chunk, first + 2 * chunk),
      bytes.subarray(first, first + chunk),
      bytes.subarray(first + 2 * chunk),
    ]);
    assert.equal(await refusal(swapped), 'backup-damaged');
  });

  test('is refused when it is something else', async () => {
    for (const text of ['', 'hello', '{"format":1}', 'age-encryption.org/v2\n'])
      assert.equal(await refusal(Buffer.from(text)), 'backup-damaged', text);
    assert.equal(
      await refusal(await readFile(process.execPath).then((bytes) => bytes.subarray(0, 100_000))),
      'backup-damaged',
    );
  });
});

type TarFile = { name: string; text: string | Uint8Array; type?: 'file' | 'symlink' };

/** An archive of other entries, encrypted for the same key: everybody can make one who knows the public key. */
async function forged(entries: readonly TarFile[]): Promise<Uint8Array> {
  const tar = await packTar(
    entries.map(
      ({ name, text, type = 'file' }): TarEntry => ({
        header: { name, size: type === 'file' ? Buffer.byteLength(text) : 0, type, linkname: '/etc/passwd' },
        body: type === 'file' ? text : undefined,
      }),
    ),
  );
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  return encrypter.encrypt(tar);
}

describe('an archive that opens and is no backup', () => {
  const manifest: Manifest = {
    ...head,
    ...{ files: [], folders: [], environment: [], queues: [], nodes: ['edge-1'], missing: [] },
    records: {
      node: 'edge-1',
      keys: { ...emptyFolder(), records: 0 },
      directory: { ...emptyFolder(), records: 0 },
    },
  };
  const first: TarFile = { name: HEAD, text: JSON.stringify(head) };
  const last: TarFile = { name: MANIFEST, text: JSON.stringify(manifest) };

  for (const [what, entries, code] of [
    ['nothing but its ends', [first, last], undefined],
    ['no entry', [], 'backup-damaged'],
    ['no manifest', [first], 'backup-damaged'],
    ['no head', [last], 'backup-damaged'],
    [
      'another head than its manifest',
      [{ ...first, text: JSON.stringify({ ...head, node: 'edge-2' }) }, last],
      'backup-damaged',
    ],
    ['a part that the manifest does not know', [first, { name: 'files/etc/x', text: 'x' }, last], 'backup-damaged'],
    ['a part behind the manifest', [first, last, { name: 'files/etc/x', text: 'x' }], 'backup-damaged'],
    [
      'a page that the manifest does not know',
      [first, { name: 'records/keys/000001.jsonl', text: '' }, last],
      'backup-damaged',
    ],
    [
      'mail of which the manifest does not know',
      [first, { name: `queues/e/${ID}/message.json`, text: '' }, last],
      'backup-damaged',
    ],
    ['a name that no part has', [first, { name: 'etc/passwd', text: 'x' }, last], 'backup-damaged'],
    ['a symbolic link', [first, { name: 'files/etc/x', text: '', type: 'symlink' }, last], 'backup-damaged'],
    ['a head that is not JSON', [{ ...first, text: '{' }, last], 'backup-damaged'],
    ['a head of a later format', [{ ...first, text: '{"format":2,"sealpost":"9.0.0"}' }, last], 'backup-version'],
    [
      'a manifest of another form',
      [first, { ...last, text: JSON.stringify({ ...manifest, files: [{}] }) }],
      'backup-damaged',
    ],
    [
      'a file that goes up',
      [first, { ...last, text: JSON.stringify({ ...manifest, files: [fileAt('/etc/../root/x')] }) }],
      'backup-damaged',
    ],
    [
      'a file that is missing',
      [first, { ...last, text: JSON.stringify({ ...manifest, files: [fileAt('/etc/x')] }) }],
      'backup-damaged',
    ],
  ] as [string, TarFile[], string | undefined][]) {
    test(`${code === undefined ? 'taken' : 'refused'}: ${what}`, async () => {
      assert.equal(await refusal(await forged(entries)), code);
    });
  }

  test('of a later format says with which version it was made', async () => {
    const bytes = await forged([{ name: HEAD, text: '{"format":2,"sealpost":"9.0.0"}' }]);
    await assert.rejects(check(bytes), /format 2, made by Sealpost 9\.0\.0/);
  });
});

function emptyFolder() {
  return { entries: 0, size: 0, sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' };
}

function fileAt(path: string) {
  return { path, mode: 0o600, uid: 0, gid: 0, size: 0, sha256: emptyFolder().sha256 };
}

test('keys of mail are names of files, and back', () => {
  for (const key of [`message!${ID}`, `recipient!${ID}!00012`, `body!${ID}!00000`]) {
    assert.deepEqual(parseEntry(entryOf.mail('edge-1', key)), { kind: 'mail', node: 'edge-1', id: ID, key });
  }
});

describe('writing a backup', () => {
  test('a sink that fails is the reason, and nothing hangs', async () => {
    const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    let taken = 0;
    const sink = async (bytes: Uint8Array): Promise<void> => {
      taken += bytes.length;
      if (taken > 100_000) throw full;
    };
    await assert.rejects(make(sink), (error) => error === full);
  });

  test('a content of another size than was said is refused', async () => {
    const archive = await ArchiveWriter.begin(lock, head, async () => undefined);
    await assert.rejects(archive.addPieces('files/x', 5, [Buffer.from('four')]), { code: 'file-unreadable' });
    await archive.abort();
  });

  test('what is not taken yet is waited for: memory does not grow with the backup', { timeout: 60_000 }, async () => {
    const piece = Buffer.alloc(1024 * 1024);
    const most = 64;
    let [given, taken] = [0, 0];
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const archive = await ArchiveWriter.begin({ recipients: [recipient] }, head, async (bytes) => {
      taken += bytes.length;
      await gate;
    });
    const content = function* () {
      for (; given < most; given++) yield piece;
    };
    const added = archive.addPieces('files/large', most * piece.length, content());
    // Whatever can go on without the sink has gone on when nothing has changed for a while.
    for (let before = -1; before !== given; ) {
      before = given;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.ok(given < 32, `${given} MB were taken in, ${taken} bytes had gone out`);
    open();
    await added;
    await archive.abort();
  });
});
