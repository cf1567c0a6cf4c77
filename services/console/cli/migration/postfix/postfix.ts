import { basename, dirname } from 'node:path';
import { readTextFile } from '../../import/text-file.ts';
import { type Choice, type Plan, problem, toDo } from '../plan.ts';
import { rest } from './answers.ts';
import { domains } from './domains.ts';
import { Tables } from './files/lookup-table.ts';
import { parseMainCf } from './files/main-cf.ts';
import { parseMasterCf } from './files/master-cf.ts';
import { limits } from './limits.ts';
import { listeners } from './listeners.ts';
import { milters } from './milters.ts';
import { relaying } from './relaying.ts';
import { restrictionAnswers } from './restriction-answers.ts';
import { rewriting } from './rewriting.ts';
import { routes } from './routes.ts';
import { newState } from './state.ts';

/**
 * A main.cf, or what `postconf -n` prints, as a sealpost.yaml. Each part of the import answers the parameters that it knows;
 * `answers.ts` has what is left. Relaying is never opened by what is not understood: see `relaying.ts`.
 */
export async function planPostfix(
  path: string,
  files: { master?: string | undefined; opendkim?: string | undefined },
  choice: Choice,
): Promise<Plan> {
  const main = parseMainCf(await readTextFile(path));
  const master = files.master === undefined ? undefined : parseMasterCf(await readTextFile(files.master));
  const file = basename(path);
  const state = newState(main, { master, tables: new Tables(dirname(path)), choice }, file);
  for (const { line, text, problem: what } of main.stray) state.tell(`${file}:${line}`, text, problem(what));
  await listeners(state);
  await relaying(state);
  await domains(state);
  await routes(state);
  await rewriting(state);
  await restrictionAnswers(state);
  await milters(state, files.opendkim);
  limits(state);
  rest(state, main, state.answered);
  if (master === undefined && state.settings.yes('smtpd_sasl_auth_enable')) {
    state.tell('master.cf', 'submission and smtps', toDo('ports for users stand in master.cf: name it with --master'));
  }
  const { account, draft, openings, advice } = state;
  if (state.files.some(({ path: name }) => name === 'users.yaml')) {
    advice.push(
      'users.yaml is local to its node: "sealpost directory import users.yaml" gives its content to a whole cluster.',
    );
  }
  return { account: inOrder(account, file), draft, files: state.files, openings, advice };
}

/** By file, in the order in which they came, and in each as its lines stand there; what stands in no file is last. */
function inOrder(account: Plan['account'], file: string): Plan['account'] {
  const files = new Map([[file, 0]]);
  const keyed = account.map((item) => {
    const [, name = item.place, line] = /^(.*):(\d+)$/.exec(item.place) ?? [];
    if (line !== undefined && !files.has(name)) files.set(name, files.size);
    return {
      item,
      file: line === undefined ? Number.MAX_SAFE_INTEGER : (files.get(name) ?? 0),
      line: Number(line ?? 0),
    };
  });
  return keyed.toSorted((a, b) => a.file - b.file || a.line - b.line).map(({ item }) => item);
}
