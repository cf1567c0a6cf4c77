import type { HarakaFolder, Ini, IniEntry } from '../../import/haraka/folder.ts';
import { shorten } from '../../table.ts';
import { Draft } from '../draft.ts';
import { type AccountLine, type Answer, type Choice, none, type PlannedFile, problem } from '../plan.ts';

/** What the parts of an import of Haraka work on, one after the other. */
export type State = {
  folder: HarakaFolder;
  /** Plugins that Haraka runs, in their order, without `haraka-plugin-`. */
  plugins: readonly string[];
  /** Domains that it takes mail for from anybody, found by `domains.ts`. */
  accepted: string[];
  /** What every listener has: Haraka knows no other. */
  eachListener: { proxy?: string[]; greeting?: string; 'address-syntax'?: 'lenient' };
  draft: Draft;
  choice: Choice;
  openings: string[];
  files: PlannedFile[];
  advice: string[];
  tell(place: string, setting: string, answer: Answer): void;
};

const LONGEST_SHOWN = 300;

export function newState(
  folder: HarakaFolder,
  plugins: readonly string[],
  choice: Choice,
): State & { account: AccountLine[] } {
  const account: AccountLine[] = [];
  return {
    ...{ folder, plugins, choice, account },
    ...{ accepted: [], eachListener: {}, draft: new Draft(), openings: [], files: [], advice: [] },
    tell: (place, setting, answer) => void account.push({ place, setting: shorten(setting, LONGEST_SHOWN), ...answer }),
  };
}

/** Whether one of these plugins runs. */
export const runs = ({ plugins }: State, ...names: readonly string[]): boolean =>
  names.some((name) => plugins.includes(name));

/** What an entry becomes; undefined: another part of the import answers it. */
export type Handler = Answer | ((entry: IniEntry) => Answer | undefined);

/** By `key` of the section main, or `section.key`; `*.key` is one of any section. */
export type Handlers = Readonly<Record<string, Handler>>;

const SECRET = /pass|secret|token/i;
/** Sections whose values can be secrets, whatever their names: credentials of rspamd, header fields with keys. */
const SECRETS = new Set(['auth', 'users', 'request_headers']);
export const UNKNOWN = none('is not known to this import');

/** An answer for each entry of an ini file. `rest`: for those that `handlers` does not have. */
export function answerIni({ tell }: State, ini: Ini, handlers: Handlers, rest: Handler = UNKNOWN): void {
  for (const entry of ini.entries.filter(({ key }) => key !== '')) {
    const name = entry.section === 'main' ? entry.key : `${entry.section}.${entry.key}`;
    const found = [name, `*.${entry.key}`].find((one) => Object.hasOwn(handlers, one));
    const handler = found === undefined ? rest : (handlers[found] ?? rest);
    const answer = typeof handler === 'function' ? handler(entry) : handler;
    if (answer !== undefined) tell(entry.place, shown(entry), answer);
  }
  for (const { place, text } of ini.stray) tell(place, text, problem('Haraka cannot read this line: not taken'));
}

/** As it is written, with its section, without a password. */
export function shown({ section, key, value, list }: IniEntry): string {
  const text = (SECRET.test(key) || SECRETS.has(section)) && value !== '' ? '…' : value;
  const setting = value === '' ? key : `${key}${list ? '[]' : ''}=${text}`;
  return section === 'main' ? setting : `[${section}] ${setting}`;
}

/** What a plugin that does not run would read. */
export const NOT_RUN = (plugin: string): Answer => none(`the plugin ${plugin} is not among those that run`);
