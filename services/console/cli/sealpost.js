#!/usr/bin/env -S node --disable-warning=ExperimentalWarning --min-semi-space-size=8 --max-semi-space-size=16
// Without the limit V8 lets its space for young objects grow to 100 MB under load, which makes nothing faster here. From 1 MB
// it would collect garbage all through the start, which is a tenth of a start.
// The console has Node take the types out of the modules of its page, which Node calls experimental.
// The command. Plain JavaScript, so that a Node that cannot read the rest can say so.
import module from 'node:module';
import { fileURLToPath } from 'node:url';

const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  console.error(
    `sealpost needs Node 24 or newer, this is ${process.version}: start it with npx, and it runs on the Node 24 that npm ci brings; or install Node 24`,
  );
  process.exitCode = 1;
} else {
  // What Node made of the sources the last time: half of the time of a start. Inside the installation, whose owner alone
  // can write there: in a folder that is open to others, like that for temporary files, anybody could leave code to run.
  // Where it cannot be written it is read, and where it is not there, Node does without. NODE_COMPILE_CACHE of the
  // environment takes its place.
  module.enableCompileCache(fileURLToPath(new URL('../../../node_modules/.cache/sealpost', import.meta.url)));
  await run();
}

async function run() {
  if (process.argv[2] === 'health' && process.argv.length === 4 && !process.argv[3]?.startsWith('-')) {
    // Runs every few seconds in every container: see there.
    const { checkHealth } = await import('./start/health-check.ts');
    await checkHealth(process.argv[3], false);
  } else {
    await import('./start/parent.ts');
    await import('./main.ts');
  }
}
