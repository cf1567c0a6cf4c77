import { readFileSync } from 'node:fs';

/**
 * Loaded into a whole process (`--import`): its wall clock is that of this machine, moved by what a file says, in ms. The
 * test that wrote the file can move it further while the process runs, which says on stderr when it is. Timers and the
 * monotonic clock stay as they are.
 */
const file = process.env['TEST_CLOCK'];
if (file === undefined) throw new Error('TEST_CLOCK does not name a file');

const read = (): number => Number(readFileSync(file, 'utf8'));
const wall = Date.now;
let moved = read();
setInterval(() => {
  if (moved === read()) return;
  moved = read();
  process.stderr.write(`the clock is moved by ${moved} ms\n`);
}, 50).unref();

globalThis.Date = new Proxy(Date, {
  construct: (target, args, made) => Reflect.construct(target, args.length === 0 ? [wall() + moved] : args, made),
});
Date.now = () => wall() + moved;
