import { type CommandResult, sealpost } from '#test/kit/command.ts';

/**
 * An administrator who does what Sealpost says, and nothing else: runs each command that stands in quotation marks, as it
 * stands, reads what it prints in turn, and does outside Sealpost what the words say.
 */

/** Something to do outside Sealpost, where these words ask for it. What is said again is not done again. */
export type Outside = [words: RegExp, act: (said: RegExpExecArray) => Promise<unknown>];

export type Deed = {
  /** The configuration of the node where the commands run. */
  configFile: string;
  folder: string;
  /** Lines of lists that are about other mail or domains are passed over. */
  about: RegExp;
  outside: readonly Outside[];
  /** Start services, as `sealpost start <services>` does. */
  start: (services: readonly string[]) => Promise<unknown>;
};

/** Commands that show something: what they print is read for what to do next. Reports end with 1 where they have findings. */
const LOOKS =
  /^(why|doctor|status|queue (list|show|summary)|keys (list|show|verify|export-dns)|cluster status|config check)\b/;
/** What is read of a command that prints a table with a line for each message, or findings. */
const LISTS = /^(doctor|queue list|status|cluster status)\b/;
/** Commands to which one leads. */
const MOST = 12;

export class Administrator {
  readonly #deed: Deed;
  readonly #heard = new Set<string>();
  /** All that was done, for the test to tell where it led nowhere. */
  readonly done: string[] = [];

  constructor(deed: Deed) {
    this.#deed = deed;
  }

  /** What the advice has not asked for. */
  get undone(): RegExp[] {
    return this.#deed.outside
      .map(([words]) => words)
      .filter((words) => ![...this.#heard].some((said) => words.test(said)));
  }

  /** Run a command, and do what it says. */
  async ask(command: readonly string[]): Promise<void> {
    await this.#ask(command, new Set());
  }

  /** `ran`: what was run already since the administrator asked. */
  async #ask(command: readonly string[], ran: Set<string>): Promise<void> {
    const name = command.join(' ');
    if (ran.has(name) || ran.size >= MOST) return;
    ran.add(name);
    const { code, stdout, stderr } = await this.#run(command);
    this.done.push(`$ sealpost ${name}\n${stdout}${stderr}`);
    // What goes on by itself as soon as the cause is gone may be over before a command that hastens it.
    if (code !== 0 && code !== 1 && !(code === 3 && name.startsWith('why ')))
      throw new Error(`sealpost ${name} ends with ${code}: ${stderr}`);
    const lines = stdout.split('\n').filter((line) => !LISTS.test(name) || this.#deed.about.test(line));
    for (const text of LOOKS.test(name) ? advices(lines) : [stdout]) await this.#follow(text, ran);
  }

  #run(command: readonly string[]): Promise<CommandResult> {
    const { configFile, folder } = this.#deed;
    return sealpost([...command, '--config', configFile], { cwd: folder });
  }

  async #follow(text: string, ran: Set<string>): Promise<void> {
    for (const [words, act] of this.#deed.outside) {
      const said = words.exec(text);
      if (said === null || this.#heard.has(said[0])) continue;
      this.#heard.add(said[0]);
      this.done.push(`(does: ${said[0]})`);
      await act(said);
    }
    // Of several ways it takes the first one.
    const [way = ''] = text.split(/; (?:or|if) /);
    for (const [, command = ''] of way.matchAll(/"sealpost ([^"]+)"/g)) {
      if (/[<>[\]…]/.test(command)) throw new Error(`"sealpost ${command}" cannot be run as it stands`);
      const words = command.split(' ');
      if (words[0] === 'start') {
        this.done.push(`$ sealpost ${command} &`);
        await this.#deed.start(words.slice(1));
      } else await this.#ask(words, ran);
    }
  }
}

/** What a report says is to be done. A list without such words says it in its lines. */
function advices(lines: readonly string[]): string[] {
  const told = lines.flatMap((line) => {
    const at = line.indexOf('To do: ');
    return at < 0 ? [] : [line.slice(at + 7)];
  });
  return told.length > 0 ? told : [lines.join('\n')];
}
