import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { Program } from '#test/kit/program.ts';
import { tempDir } from '#test/kit/temp.ts';

/** cluster/release.sh in a repository of its own, with a `docker` that writes down how it was called. */

const ROOT = resolve(import.meta.dirname, '../../..');
const { path, ...temp } = await tempDir('release');
after(() => temp[Symbol.asyncDispose]());

const git = (...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.com', ...args], {
    cwd: path,
    encoding: 'utf8',
  });
const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };

await mkdir(join(path, 'cluster'));
await mkdir(join(path, 'bin'));
for (const file of ['package.json', 'sbom.cdx.json', 'CHANGELOG.md', 'compose.yaml', 'cluster/release.sh']) {
  await copyFile(join(ROOT, file), join(path, file));
}
await writeFile(join(path, 'bin/docker'), '#!/bin/sh\n[ "$2" = version ] || echo "called: docker $*"\n', {
  mode: 0o755,
});
await writeFile(join(path, '.gitignore'), 'bin\n');
git('init', '--quiet');
git('add', '.');
git('commit', '--quiet', '--message', 'First');

async function release(...args: string[]): Promise<{ code: number | string; output: string }> {
  const env = { PATH: `${join(path, 'bin')}:${process.env['PATH']}`, NODE_IMAGE: '', PLATFORMS: '' };
  await using script = new Program('sh', [join(path, 'cluster/release.sh'), ...args], { env, cwd: path });
  return { code: (await script.ended()) ?? 'killed', output: script.output };
}

const REPOSITORY = 'registry.example:5000/mail/sealpost';

test('a plan says what would be built, and what is in the way of it', async () => {
  const { code, output } = await release(REPOSITORY);
  assert.equal(code, 0, output);
  assert.match(output, new RegExp(`--push would refuse: the commit does not have the tag v${version}`));
  assert.doesNotMatch(output, /called:/);
  const tags = [version, version.replace(/\.\d+$/, ''), 'latest'].map((tag) => `--tag ${REPOSITORY}:${tag} `).join('');
  assert.ok(output.includes(tags), output);
  assert.match(output, /--platform linux\/amd64,linux\/arm64 --provenance=true --sbom=true /);
  assert.match(output, /NODE_IMAGE=node:24-bookworm-slim@sha256:[0-9a-f]{64} /);
});

test('a commit without the tag, or with changes beside it, is built for this machine and not pushed', async () => {
  assert.match((await release('--local', REPOSITORY)).output, /called: docker build --file cluster\/Dockerfile /);
  assert.match((await release('--push', REPOSITORY)).output, /does not have the tag/);
  git('tag', '--annotate', '--message', 'x', `v${version}`);
  await writeFile(join(path, 'new'), '');
  const { code, output } = await release('--push', REPOSITORY);
  assert.deepEqual([code, /called:/.test(output)], [1, false]);
  assert.match(output, /the working tree has changes/);
  execFileSync('rm', [join(path, 'new')]);
});

test('a tagged commit is pushed, and says which it is', async () => {
  git('tag', '--force', '--annotate', '--message', 'x', `v${version}`);
  const { code, output } = await release('--push', REPOSITORY);
  assert.equal(code, 0, output);
  assert.match(output, /^called: docker buildx build .* --push \.$/m);
  assert.ok(output.includes(`image.revision=${git('rev-parse', 'HEAD').trim()} `), output);
});

test('a version that CHANGELOG.md or the bill of materials does not know is refused, as are odd names', async () => {
  for (const [name, text] of [
    ['-x', /is not the name of a repository/],
    ['a b', /is not the name of a repository/],
    ['example.com/sealpost:1', /has a tag already/],
  ] as const) {
    const { code, output } = await release(name);
    assert.deepEqual([code, text.test(output)], [1, true], output);
  }
  const manifest = await readFile(join(path, 'package.json'), 'utf8');
  await writeFile(join(path, 'package.json'), manifest.replace(`"version": "${version}"`, '"version": "99.0.0"'));
  assert.match((await release(REPOSITORY)).output, /CHANGELOG\.md has no section for 99\.0\.0/);
});
