#!/usr/bin/env -S node --max-semi-space-size=16
// Without the limit V8 lets its space for young objects grow to 100 MB under load, which makes nothing faster here.
// The command. Plain JavaScript, so that a Node that cannot read the rest can say so.
const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  console.error(
    `sealpost needs Node 24 or newer, this is ${process.version}: start it with npx, and it runs on the Node 24 that npm ci brings; or install Node 24`,
  );
  process.exitCode = 1;
} else if (process.argv[2] === 'health' && process.argv.length === 4 && !process.argv[3]?.startsWith('-')) {
  // Runs every few seconds in every container: see there.
  const { checkHealth } = await import('./start/health-check.ts');
  await checkHealth(process.argv[3], false);
} else {
  await import('./start/parent.ts');
  await import('./main.ts');
}
