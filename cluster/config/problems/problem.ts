/** One thing that is wrong in a configuration file: where, and what to do. */
export type Problem = { path: PropertyKey[]; line?: number | undefined; message: string };

/** `listeners[1].port`; '' for the file as a whole. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path
    .map((key, i) => (typeof key === 'number' ? `[${key}]` : i === 0 ? String(key) : `.${String(key)}`))
    .join('');
}

/** `sealpost.yaml:12: listeners[1].port: expected a number, got "abc"`. */
export function formatProblem(file: string, problem: Problem): string {
  const place = problem.line === undefined ? file : `${file}:${problem.line}`;
  const path = formatPath(problem.path);
  return path === '' ? `${place}: ${problem.message}` : `${place}: ${path}: ${problem.message}`;
}
