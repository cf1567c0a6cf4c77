/**
 * Loaded by the runner into every process of tests: it ends one that does not end by itself. A test that ran out of
 * time leaves sockets and timers behind, and Node waits for them before it calls a file finished.
 */
const limit = Number(process.env['TEST_FILE_LIMIT_MS']);

// Not into the process that starts the others.
if (process.env['NODE_TEST_CONTEXT'] !== undefined && limit > 0) {
  const end = (): never => {
    process.stderr.write(`${process.argv[1]} did not end within ${limit / 1000} s: a test left something open\n`);
    process.exit(1);
  };
  setTimeout(end, limit).unref();
}
