import { parentPort, workerData } from 'node:worker_threads';
import { parseConfig } from '#cluster/config/load.ts';
import { formatPath } from '#cluster/config/problems/problem.ts';
import type { CheckedText } from './check.ts';

/** The thread of `check.ts`: a text in, what is wrong with it out. */

const loaded = await parseConfig(String(workerData), '/', { files: false });
const problems = loaded.ok ? [] : loaded.problems;
const checked: CheckedText = {
  problems: problems.map(({ path, line, message }) => ({ path: formatPath(path), line, message })),
  warnings: loaded.warnings,
};
parentPort?.postMessage(checked);
