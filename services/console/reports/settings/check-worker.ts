import { parentPort, workerData } from 'node:worker_threads';
import { changesBetween, comparable } from '#cluster/config/comparison/changes.ts';
import { parseConfig } from '#cluster/config/load.ts';
import { formatPath } from '#cluster/config/problems/problem.ts';
import { type CheckedText, type Compared, factsOf } from './check.ts';

/** The thread of `check.ts`: a text in, what is wrong with it and what it changes out. */

const { text, folder, before, salt } = workerData as Compared;
const loaded = await parseConfig(text, folder, { files: false });
const checked: CheckedText = loaded.ok
  ? {
      ...{ problems: [], warnings: loaded.warnings },
      valid: { changes: changesBetween(before, comparable(loaded.config, salt)), facts: factsOf(loaded.config) },
    }
  : {
      problems: loaded.problems.map(({ path, line, message }) => ({ path: formatPath(path), line, message })),
      warnings: loaded.warnings,
    };
parentPort?.postMessage(checked);
