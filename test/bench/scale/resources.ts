import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitFor } from '#test/kit/wait.ts';

/** What a process of Node takes of the machine, as the kernel and V8 count it. */

const MIB = 2 ** 20;
const TICKS_PER_SECOND = 100;

/** In bytes. `resident` is `anonymous` plus the pages of files that are mapped, which the kernel may drop at any time. */
export type Memory = {
  resident: number;
  anonymous: number;
  /** V8's heap: what is in use (garbage that was not collected yet counts), and what V8 has for it. */
  heapUsed: number;
  heapTotal: number;
  /** Outside of the heap, and held by objects of it: array buffers above all. */
  external: number;
};

/** The environment of a process whose `memoryOf` is asked: on a signal it writes what V8 knows into a folder. */
export function reportsInto(folder: string): Record<string, string> {
  return { NODE_OPTIONS: `--report-on-signal --report-exclude-network --report-directory=${folder}` };
}

export async function memoryOf(pid: number, folder: string): Promise<Memory> {
  const known = new Set(await readdir(folder));
  process.kill(pid, 'SIGUSR2');
  // It cannot be parsed while it is still being written.
  const report = await waitFor(
    async () => {
      const name = (await readdir(folder)).find((file) => !known.has(file) && file.includes(`.${pid}.`));
      return name !== undefined && (JSON.parse(await readFile(join(folder, name), 'utf8')) as Report);
    },
    { what: 'a report of the process' },
  );
  const { usedMemory, totalMemory, externalMemory } = report.javascriptHeap;
  const kernel = await residentOf(pid);
  return { ...kernel, heapUsed: usedMemory, heapTotal: totalMemory, external: externalMemory };
}

export async function residentOf(pid: number): Promise<Pick<Memory, 'resident' | 'anonymous'>> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1');
  const bytes = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
  return { resident: bytes('VmRSS'), anonymous: bytes('RssAnon') };
}

export function describeMemory(memory: Memory): string {
  const mb = (bytes: number): string => `${(bytes / MIB).toFixed(0)} MiB`;
  const { resident, anonymous, heapUsed, heapTotal, external } = memory;
  return (
    `resident ${mb(resident)} (its own ${mb(anonymous)}, mapped files ${mb(resident - anonymous)}), ` +
    `heap ${mb(heapUsed)} of ${mb(heapTotal)}, external ${mb(external)}`
  );
}

/** Seconds of the processor that a process has used, all its threads together. */
export async function processorSeconds(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'latin1')).split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

type Report = { javascriptHeap: { usedMemory: number; totalMemory: number; externalMemory: number } };
