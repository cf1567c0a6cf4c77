import { basename } from 'node:path';

/** As much of the shell as command lines in documents need. */

/** The simple commands of a line, as words: `a b && c | d # why` is `a b`, `c` and `d`. */
export function commandsOf(line: string): string[][] {
  const commands: string[][] = [[]];
  for (const [token] of line.matchAll(TOKEN)) {
    if (/^\s+$/.test(token)) continue;
    if (token.startsWith('#')) break;
    if (/^[&|;]+$/.test(token)) commands.push([]);
    else commands.at(-1)?.push(token.replace(/["']/g, ''));
  }
  return commands.filter((words) => words.length > 0);
}

/** White space, operators, or a word with its quotes, `$(…)` and `<placeholders>`. */
const TOKEN = /\s+|[&|;]+|(?:"[^"]*"|'[^']*'|\$\([^)]*\)|<[^<>]*>|[^\s&|;"'])+/g;

/** The arguments of `sealpost` in a simple command, however it is started; undefined for another program. */
export function sealpostArguments(command: readonly string[]): string[] | undefined {
  const words = command.slice(command.findIndex((word) => !/^[A-Z_]+=/.test(word)));
  const program = basename(words[0] ?? '');
  if (program === 'sealpost' || program === 'sealpost.js') return untilRedirection(words.slice(1));
  if (program === 'npx') return sealpostArguments(words.slice(1));
  return program === 'docker-compose' ? inContainer(words) : undefined;
}

/** `docker-compose … run|exec [options] <service> …`: the service `operator` runs `sealpost` by itself. */
function inContainer(words: readonly string[]): string[] | undefined {
  const verb = words.findIndex((word) => word === 'run' || word === 'exec');
  if (verb < 0) return undefined;
  const [service, ...rest] = words.slice(verb + 1).filter((word, i, all) => !isOption(word, i, all));
  return service === 'operator' && words[verb] === 'run' ? untilRedirection(rest) : sealpostArguments(rest);
}

/** An option of `run` or `exec`: before the service. */
const isOption = (word: string, i: number, all: readonly string[]): boolean =>
  word.startsWith('-') && all.slice(0, i).every((before) => before.startsWith('-'));

function untilRedirection(words: readonly string[]): string[] {
  const end = words.findIndex((word) => /^[\d]*>/.test(word));
  return end < 0 ? [...words] : words.slice(0, end);
}
