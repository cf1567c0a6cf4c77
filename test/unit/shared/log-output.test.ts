import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { test } from 'node:test';
import { type Dropped, LogOutput } from '#shared/log-output.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** A pipe that does not block, with a reader that reads when it is asked to. */
async function pipe() {
  const folder = await tempDir('log');
  const file = join(folder.path, 'pipe');
  execFileSync('mkfifo', [file]);
  const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(file, constants.O_WRONLY | constants.O_NONBLOCK);
  const buffer = Buffer.alloc(65_536);
  const decoder = new StringDecoder('utf8');
  return {
    writer,
    /** What is in it now. */
    read(): string {
      try {
        return decoder.write(buffer.subarray(0, readSync(reader, buffer)));
      } catch {
        return '';
      }
    },
    // Not closed: an output that still tries to write would write to the next file with this number.
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

const line = (n: number): string => `${String(n).padStart(7, '0')} ${'ä'.repeat(300)}\n`;

test('a reader that stands still costs a bounded memory; later it reads whole lines in order, and how many are missing', async () => {
  await using out = await pipe();
  const output = new LogOutput(out.writer, ({ lines }) => output.write(`dropped ${lines}\n`));
  const before = process.memoryUsage().rss;
  for (let n = 0; n < 200_000; n++) output.write(line(n));
  const grown = process.memoryUsage().rss - before;
  // The lines together have 120 MB.
  assert.ok(grown < 40e6, `${grown} bytes more`);
  assert.ok(output.dropped > 150_000);

  let text = '';
  await waitFor(
    () => {
      text += out.read();
      return text.includes('dropped ') && text.endsWith('\n');
    },
    { what: 'the count of lines that are missing' },
  );
  const lines = text.trimEnd().split('\n');
  const notice = lines.findIndex((l) => l.startsWith('dropped'));
  assert.equal(lines[notice], `dropped ${output.dropped}`);
  assert.equal(notice, 200_000 - output.dropped);
  lines.slice(0, notice).forEach((l, n) => {
    assert.equal(`${l}\n`, line(n));
  });
  output.write('after\n');
  await waitFor(() => out.read().includes('after\n'), { what: 'a line after the gap' });
});

test('a full disk is neither an error nor a wait; what the log has lost is known', async () => {
  const output = new LogOutput(openSync('/dev/full', 'w'), () => assert.fail('nothing was written'));
  for (let n = 0; n < 10_000; n++) output.write(line(n));
  await waitFor(() => output.dropped > 0, { what: 'lines that are dropped' });
  const start = performance.now();
  output.flushSync();
  await new Promise<void>((resolve) => output.flush(resolve));
  assert.ok(performance.now() - start < 2000);
});

test('at the end everything is written, and a pipe that nobody reads is waited for only shortly', async () => {
  await using out = await pipe();
  const dropped: Dropped[] = [];
  const output = new LogOutput(out.writer, (d) => dropped.push(d));
  output.write('one\n');
  output.write('two\n');
  await new Promise<void>((resolve) => output.flush(resolve));
  assert.equal(out.read(), 'one\ntwo\n');
  for (let n = 0; n < 1000; n++) output.write(line(n));
  const start = performance.now();
  await new Promise<void>((resolve) => output.flush(resolve));
  assert.ok(performance.now() - start < 4000);
  output.flushSync();
  assert.deepEqual(dropped, []);
});

test('after a line that is longer than all that may wait the log goes on', async () => {
  await using out = await pipe();
  const output = new LogOutput(out.writer, ({ lines }) => output.write(`dropped ${lines}\n`));
  const read = async (end: string): Promise<string> => {
    let text = '';
    await waitFor(
      () => {
        text += out.read();
        return text.endsWith(end);
      },
      { what: end },
    );
    return text;
  };
  output.write(`${'x'.repeat(2_000_000)}\n`);
  output.write('next\n');
  assert.equal((await read('next\n')).length, 2_000_006);
  output.write('first\n');
  output.write('second\n');
  output.write(`${'x'.repeat(2_000_000)}\n`);
  assert.equal(await read('dropped 1\n'), 'first\nsecond\ndropped 1\n');
  output.write('after\n');
  assert.equal(await read('after\n'), 'after\n');
});
