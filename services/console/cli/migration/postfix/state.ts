import { shorten } from '../../table.ts';
import { Draft } from '../draft.ts';
import type { AccountLine, Answer, Choice, PlannedFile } from '../plan.ts';
import type { Tables } from './files/lookup-table.ts';
import { type MainCf, Settings } from './files/main-cf.ts';
import type { MasterCf } from './files/master-cf.ts';

/** What the parts of an import of Postfix work on, one after the other. */
export type State = {
  /** Parameters of main.cf. */
  settings: Settings;
  /** Those of the service that takes mail at port 25. */
  relay: Settings;
  master: MasterCf | undefined;
  tables: Tables;
  /** Addresses to listen on; none: every one. */
  bound: string[];
  /** Whether strangers may send at all, to domains of ours: false where a list refuses all who are not permitted. */
  strangers: boolean;
  draft: Draft;
  choice: Choice;
  openings: string[];
  files: PlannedFile[];
  advice: string[];
  /** An answer about a parameter, or about a part of its value. */
  say(name: string, answer: Answer, part?: string): void;
  /** An answer about what is not a parameter of main.cf: a service, a row of a table. */
  tell(place: string, setting: string, answer: Answer): void;
};

/** Names of parameters such as ldap_users_bind_pw, whose values are not printed. */
const SECRET = /(?:_pw|pass(?:wd|word)?|secret|password_maps)$/i;
/** Longer values are in the file. */
const LONGEST_SHOWN = 300;

/** `account` gets the answers, `answered` the names of parameters that have one. */
export function newState(
  main: MainCf,
  rest: Pick<State, 'master' | 'tables' | 'choice'>,
  file: string,
): State & { account: AccountLine[]; answered: Set<string> } {
  const account: AccountLine[] = [];
  const answered = new Set<string>();
  const settings = new Settings(main.parameters);
  const tell = (place: string, setting: string, answer: Answer): void =>
    void account.push({ place, setting: shorten(setting, LONGEST_SHOWN), ...answer });
  return {
    ...rest,
    settings,
    relay: settings,
    bound: [],
    strangers: true,
    draft: new Draft(),
    openings: [],
    files: [],
    advice: [],
    account,
    answered,
    tell,
    say(name, answer, part) {
      answered.add(name);
      const parameter = main.parameters.get(name);
      const place = parameter === undefined ? `${file}: not set` : `${file}:${parameter.line}`;
      const whole = SECRET.test(name) ? '…' : (parameter?.value ?? settings.raw(name) ?? '');
      const value = part === undefined ? ` = ${whole}` : `: ${part}`;
      tell(place, `${name}${value}`, answer);
    },
  };
}
