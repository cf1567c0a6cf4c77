import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { Program } from '#test/kit/program.ts';
import { tempDir } from '#test/kit/temp.ts';

/**
 * cluster/compose/upgrade.sh with commands `docker` and `docker-compose` whose containers are files, `<service>.<number>`
 * with the image in it, and `<service>.<number>-stopped`. The script is killed after the change number `KILL_AFTER`.
 */
const SCRIPT = resolve(import.meta.dirname, '../../../../cluster/compose/upgrade.sh');

// What the shell does itself, and seldom another program: each upgrade calls these a hundred times.
const HEAD = `#!/bin/sh
cd "$SITE/containers"
for last in "$@"; do :; done
read -r image <../image
show() { while read -r line; do echo "$line"; done <"$1"; }
changed() {
  echo . >>../changes
  changes=0
  while read -r _; do changes=$((changes + 1)); done <../changes
  [ "$changes" -ne "\${KILL_AFTER:-0}" ] || kill -KILL $PPID
}
`;
const COMPOSE = `${HEAD}
case $1 in
  config) show ../services ;;
  ps) for name in "$last".*; do [ ! -e "$name" ] || echo "\${name%-stopped}"; done ;;
  up)
    wanted=1
    for word in "$@"; do case $word in "$last="*) wanted=\${word#*=} ;; esac; done
    for name in "$last".*-stopped; do [ ! -e "$name" ] || mv "$name" "\${name%-stopped}"; done
    count=0
    for name in "$last".*; do [ ! -e "$name" ] || count=$((count + 1)); done
    n=1
    while [ "$count" -lt "$wanted" ]; do
      [ -e "$last.$n" ] || { echo "$image" >"$last.$n" && count=$((count + 1)); }
      n=$((n + 1))
    done
    case $last in nats-*) echo "$image" >"$last.1" ;; esac
    changed
    ;;
esac
`;
const DOCKER = `${HEAD}
case "$1 $*" in
  compose*) exit 1 ;;
  exec*) [ -e "$2" ] ;;
  image*) echo "$image" ;;
  *Config.Image*) echo sealpost ;;
  inspect*) if [ -e "$last" ]; then show "$last"; else show "$last-stopped"; fi ;;
  start*) [ ! -e "$last-stopped" ] || mv "$last-stopped" "$last" ;;
  stop*)
    if [ -e "$last" ]; then mv "$last" "$last-stopped"; fi
    policies=0
    for name in policy.*; do case $name in *-stopped) ;; *) [ ! -e "$name" ] || policies=$((policies + 1)) ;; esac; done
    [ "$policies" -gt 0 ] || echo policy >>../outages
    changed
    ;;
  rm*) rm -f "$last-stopped"; changed ;;
esac
`;

const RUNNING = { 'nats-1': 1, policy: 1, 'router-1': 1, listener: 2 };

type Site = AsyncDisposable & {
  path: string;
  /** Upgrade; resolves to the exit code or signal. */
  upgrade(killAfter?: number): Promise<{ exit: number | string; output: string }>;
  /** What runs, with its image. */
  running(): Promise<string[]>;
};

async function makeSite(): Promise<Site> {
  const temp = await tempDir('upgrade');
  const { path } = temp;
  for (const folder of ['containers', 'bin']) await mkdir(join(path, folder));
  const programs = { docker: DOCKER, 'docker-compose': COMPOSE, sleep: '#!/bin/sh\n' };
  for (const [name, text] of Object.entries(programs)) await writeFile(join(path, 'bin', name), text, { mode: 0o755 });
  await writeFile(join(path, 'services'), `${Object.keys(RUNNING).join('\n')}\n`);
  await writeFile(join(path, 'image'), 'new\n');
  for (const [service, count] of Object.entries(RUNNING)) {
    for (let n = 1; n <= count; n++) await writeFile(join(path, 'containers', `${service}.${n}`), 'old\n');
  }
  const names = (): Promise<string[]> => readdir(join(path, 'containers'));
  return {
    path,
    upgrade: async (killAfter = 0) => {
      await writeFile(join(path, 'changes'), '');
      const env = { SITE: path, KILL_AFTER: String(killAfter), PATH: `${join(path, 'bin')}:${process.env['PATH']}` };
      await using script = new Program('sh', [SCRIPT, '--no-build'], { cwd: path, env });
      return { exit: await script.ended(), output: script.output };
    },
    running: async () =>
      Promise.all(
        (await names()).toSorted().map(async (name) => {
          const image = await readFile(join(path, 'containers', name), 'utf8');
          return `${name.replace(/\.\d+/, '')} ${image.trim()}`;
        }),
      ),
    [Symbol.asyncDispose]: () => temp[Symbol.asyncDispose](),
  };
}

const UPGRADED = ['listener new', 'listener new', 'nats-1 new', 'policy new', 'router-1 new'];

test('an upgrade that is killed at any step is completed by the next one, with as many containers as there were', async () => {
  await using whole = await makeSite();
  const { exit, output } = await whole.upgrade();
  assert.equal(exit, 0, output);
  assert.deepEqual(await whole.running(), UPGRADED);
  const changes = (await readFile(join(whole.path, 'changes'), 'utf8')).trim().split('\n').length;
  assert.equal(changes, 13);
  for (let step = 1; step <= changes; step++) {
    await using site = await makeSite();
    assert.equal((await site.upgrade(step)).exit, 'SIGKILL');
    const again = await site.upgrade();
    assert.equal(again.exit, 0, `killed at ${step}: ${again.output}`);
    assert.deepEqual(await site.running(), UPGRADED, `killed at ${step}`);
    const left = await readdir(site.path);
    assert.deepEqual(left.toSorted(), ['bin', 'changes', 'containers', 'image', 'services'], `killed at ${step}`);
  }
});
