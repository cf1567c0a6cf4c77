import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';

/** Why this clone cannot make the version of a commit; false where it can. */
export function lacksCommit(commit: string): string | false {
  try {
    const cwd = resolve(import.meta.dirname, '../../..');
    execFileSync('git', ['cat-file', '-e', `${commit}^{commit}`], { cwd, stdio: 'ignore' });
    return false;
  } catch {
    return `needs the commit ${commit}, which this clone does not have`;
  }
}
