import { spawn, spawnSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { locate, missingPeers, PEERS, type Peer } from './peers.ts';
import { writeShares } from './share.ts';

/**
 * The test runner of `npm test`: `node test/kit/runner/run.ts [unit | integration | scenarios …]`, unit and integration
 * by default. It provides the programs that the tests need (as root it installs Debian packages, else it says what is
 * missing: those tests are skipped, and with CI=true the run fails), then starts `node --test`.
 *
 * What stands where in test/:
 *
 *   unit/         no program but Node, many files in a process (`share.ts`); mirrors shared/, cluster/ and services/
 *   integration/  the same folders with real peers: nats-server, Postfix, BIND, HAProxy …; node/ is about whole nodes
 *   scenarios/    several nodes, killed and cut off; measures of time and memory. One at a time
 *   suites/       one behaviour that every implementation must show: buses, replicated maps, versions of a contract
 *   kit/          what tests start and ask: bus/, dns/, ldap/, smtp/, dkim/, nodes/; docs/ and contracts/ hold documents and
 *                 contracts against the code; runner/
 *   bad-configs/  wrong configurations, each with the message that it must get
 *   contracts/    snapshots of the contracts, by which a change that older nodes would not understand is seen
 *   bench/        how fast parts are; run by hand
 */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const NODE_MAJOR = 24;

/** Processes of tests at a time: each waits for peers and clocks for two thirds of its time. */
const AT_A_TIME = Math.min(3 * availableParallelism(), 8);

/** `shares`: so many processes for all of the files. `timeout` is that of one test in milliseconds, `limit` that of a process. */
type Ring = { files: string; shares?: number; concurrency: number; timeout: number; limit: number };
const RINGS: Record<string, Ring> = {
  // One process more than there are processors, since some tests wait for a clock. The timeout is that of a file too.
  unit: {
    ...{ files: 'test/unit/**/*.test.ts', shares: Math.min(availableParallelism() + 1, 8), concurrency: AT_A_TIME },
    ...{ timeout: 120_000, limit: 15 * 60_000 },
  },
  integration: { files: 'test/integration/**/*.test.ts', concurrency: AT_A_TIME, timeout: 120_000, limit: 6 * 60_000 },
  // They measure time and memory, and kill what they started: one at a time.
  scenarios: { files: 'test/scenarios/**/*.scenario.ts', concurrency: 1, timeout: 30 * 60_000, limit: 120 * 60_000 },
};

const say = (text: string): boolean => process.stdout.write(`${text}\n`);

function checkNode(): void {
  if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR) return;
  say(`Sealpost needs Node ${NODE_MAJOR} or later, and this is ${process.version} (${process.execPath}).`);
  say('Run the tests with `npm test` after `npm ci`, which brings the right Node along.');
  process.exit(1);
}

/** Install Debian packages. Output is shown only when something fails. */
function install(packages: string[]): boolean {
  say(`installing Debian packages: ${packages.join(' ')}`);
  // Without this answer postfix's package asks what kind of mail server it shall be.
  const preseed = 'postfix postfix/main_mailer_type select No configuration\n';
  const steps: [string, string[], string?][] = [
    ['debconf-set-selections', [], preseed],
    ['apt-get', ['update']],
    ['apt-get', ['install', '--yes', '--no-install-recommends', ...packages]],
  ];
  // RUNLEVEL=1 keeps the packages' daemons from being started: the tests start their own.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  for (const [command, args, input] of steps) {
    const { status, stdout, stderr, error } = spawnSync(command, args, { env, input, encoding: 'utf8' });
    if (status === 0) continue;
    say(`${command} ${args.join(' ')} failed: ${error?.message ?? `exit ${status}`}\n${stdout}${stderr}`);
    return false;
  }
  return true;
}

/** Whether the tests can run: with every peer, or without some where that is allowed. */
function providePeers(): boolean {
  const packages = [...new Set(missingPeers().map((peer) => PEERS[peer]))];
  const canInstall = process.getuid?.() === 0 && existsSync('/etc/debian_version') && locate('apt-get') !== undefined;
  if (packages.length > 0 && canInstall) install(packages);
  const missing = missingPeers();
  if (missing.length === 0) return true;
  const list = missing.map((peer: Peer) => `${peer} (Debian package ${PEERS[peer]})`).join(', ');
  const ci = process.env['CI'] === 'true';
  say(`missing: ${list}; ${ci ? 'in CI every peer must be there' : 'tests that need them are skipped'}`);
  return !ci;
}

/** Run the tests of some rings; resolves to the exit code. */
async function runRings(rings: Ring[]): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'sealpost-shares-'));
  try {
    const files: string[] = [];
    for (const ring of rings) {
      const { files: pattern, shares } = ring;
      if (shares === undefined) files.push(pattern);
      else files.push(...(await writeShares(globSync(pattern, { cwd: ROOT }).toSorted(), shares, folder)));
    }
    return await runTests(rings, files);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** `node --test` on some files. */
function runTests(rings: Ring[], files: string[]): Promise<number> {
  const args = [
    '--test',
    `--import=${join(ROOT, 'test/kit/runner/file-limit.ts')}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${join(ROOT, 'test/kit/runner/closing-lines.ts')}`,
    '--test-reporter-destination=stdout',
    `--test-concurrency=${Math.min(...rings.map((ring) => ring.concurrency))}`,
    `--test-timeout=${Math.max(...rings.map((ring) => ring.timeout))}`,
    ...files,
  ];
  // Tests that run the command line by its name find this Node first.
  const path = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`;
  const limit = Math.max(...rings.map((ring) => ring.limit));
  // Else hundreds of processes strip the types of the same files, and that is a third of their work.
  const compiled = { NODE_COMPILE_CACHE: join(ROOT, 'node_modules/.cache/compile') };
  const env = { ...process.env, ...compiled, PATH: path, TEST_FILE_LIMIT_MS: String(limit) };
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit', env });
  // What interrupts this process ends the tests, and it then cleans up after them.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}

async function main(names: string[]): Promise<number> {
  checkNode();
  const chosen = names.length === 0 ? ['unit', 'integration'] : names;
  const rings: Ring[] = [];
  for (const name of chosen) {
    const ring = RINGS[name];
    if (ring === undefined) {
      say(`there is no ring of tests called "${name}"; choose among ${Object.keys(RINGS).join(', ')}`);
      return 2;
    }
    rings.push(ring);
  }
  // Unit tests need no program but Node.
  if (chosen.some((name) => name !== 'unit') && !providePeers()) return 1;
  return runRings(rings);
}

process.exitCode = await main(process.argv.slice(2));
