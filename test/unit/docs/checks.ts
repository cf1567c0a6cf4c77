import { dirname, join, normalize } from 'node:path';
import { parse, stringify } from 'yaml';
import { parseConfig } from '#cluster/config/load.ts';
import { formatPath } from '#cluster/config/problems/problem.ts';
import { listOptions } from '#cluster/config/schema/describe.ts';
import { parseUsersFile } from '#cluster/config/users/users-file.ts';
import { errorText } from '#shared/errors.ts';
import { type Block, type Page, parsePage, type Span } from '#test/kit/docs/markdown.ts';
import type { Program } from './program.ts';
import { commandsOf, sealpostArguments } from './shell.ts';

/**
 * What must be true of a document. Each check returns its complaints, `README.md:12: …`; `checks.test.ts` shows that each
 * can complain, `docs.test.ts` holds the documents against them.
 */

export type Docs = ReadonlyMap<string, Page>;

export function parseDocs(texts: Iterable<readonly [file: string, text: string]>): Docs {
  return new Map([...texts].map(([file, text]) => [file, parsePage(text)]));
}

/** Links within the repository: to a file that is there, and a heading that it has. */
export function brokenLinks(docs: Docs, exists: (path: string) => boolean): string[] {
  return all(docs, (page, file) =>
    page.links.flatMap(({ target, line }) => {
      if (/^[a-z]+:/.test(target)) return [];
      const [path = '', anchor] = target.split('#');
      const linked = path === '' ? file : normalize(join(dirname(file), path));
      if (!exists(linked)) return [`${file}:${line}: there is no ${linked}`];
      const there = anchor === undefined || docs.get(linked)?.anchors.has(anchor);
      return there ? [] : [`${file}:${line}: ${linked} has no heading #${anchor}`];
    }),
  );
}

/** Documents that no other one links to, so that nobody finds them. */
export function lostPages(docs: Docs): string[] {
  const linked = [...docs].flatMap(([file, { links }]) =>
    links.map(({ target }) => normalize(join(dirname(file), target.split('#')[0] ?? ''))),
  );
  return [...docs.keys()].filter((file) => file !== 'README.md' && !linked.includes(file));
}

/** Command lines in blocks, and commands that are named in the text: they exist, with these options and arguments. */
export async function brokenCommands(docs: Docs, program: Program): Promise<string[]> {
  const complaints: string[] = [];
  for (const [file, page] of docs) {
    for (const { text, line, form } of [...commandLines(page), ...mentions(page, program.names)]) {
      for (const args of commandsOf(text).flatMap((command) => [sealpostArguments(command) ?? []])) {
        const objection = args.length === 0 ? undefined : await program.objection(args, form);
        if (objection !== undefined) complaints.push(`${file}:${line}: sealpost ${args.join(' ')}: ${objection}`);
      }
    }
  }
  return complaints;
}

type CommandLine = Span & { form: 'command line' | 'mention' };

const SHELLS = new Set(['sh', 'bash', 'ini', 'console']);

function commandLines({ blocks }: Page): CommandLine[] {
  return blocks
    .filter(({ language }) => SHELLS.has(language))
    .flatMap((block) =>
      joined(linesOf(block)).map(({ text, line }) => ({
        text: text.replace(/^ExecStart=/, ''),
        line,
        form: 'command line',
      })),
    );
}

const linesOf = ({ text, line }: Block): Span[] =>
  text.split('\n').map((content, n) => ({ text: content, line: line + n }));

/** Lines that end with a backslash go on in the next. */
function joined(lines: readonly Span[]): Span[] {
  const whole: Span[] = [];
  let open: Span | undefined;
  for (const { text, line } of lines) {
    open = open === undefined ? { text, line } : { text: open.text + text, line: open.line };
    if (open.text.endsWith('\\')) open.text = `${open.text.slice(0, -1)} `;
    else {
      whole.push(open);
      open = undefined;
    }
  }
  return open === undefined ? whole : [...whole, open];
}

/** `sealpost …`, or a command of its own such as `queue list`. */
function mentions({ spans }: Page, names: ReadonlySet<string>): CommandLine[] {
  return spans.flatMap(({ text, line }): CommandLine[] => {
    if (/^(npx )?sealpost /.test(text)) return [{ text, line, form: 'mention' }];
    const [first = '', second] = text.split(' ');
    const named = names.has(first) && second !== undefined && /^[a-z<-]/.test(second);
    return named ? [{ text: `sealpost ${text}`, line, form: 'mention' }] : [];
  });
}

/** Options of other programs that the documents name. */
const FOREIGN = new Set([
  '--scale',
  '--profile',
  '--push',
  '--local',
  '--min-semi-space-size',
  '--max-semi-space-size',
]);

/** Options that stand alone in the text, such as `--watch --json`. */
export function brokenOptions(docs: Docs, { options }: Program): string[] {
  return all(docs, ({ spans }, file) =>
    spans
      .filter(({ text }) => text.startsWith('--'))
      .flatMap(({ text, line }) => (text.match(/--[a-z-]+/g) ?? []).map((option) => ({ option, line })))
      .filter(({ option }) => !options.has(option) && !FOREIGN.has(option))
      .map(({ option, line }) => `${file}:${line}: no command has the option ${option}`),
  );
}

/** Scripts of package.json, wherever they are named. */
export function brokenScripts(docs: Docs, scripts: ReadonlySet<string>): string[] {
  return all(docs, (page, file) =>
    [...page.spans, ...page.blocks.flatMap(linesOf)].flatMap(({ text, line }) =>
      [...text.matchAll(/\bnpm run ([\w:-]+)/g)]
        .filter(({ 1: script = '' }) => !scripts.has(script))
        .map(({ 1: script }) => `${file}:${line}: package.json has no script ${script}`),
    ),
  );
}

/**
 * Blocks of YAML. `yaml` alone is a configuration, whole where it has a section `node`, else sections of one;
 * `yaml users` is a users file, `yaml compose` a file for docker-compose, which other tests look at.
 */
export async function brokenYaml(docs: Docs): Promise<string[]> {
  const complaints: string[] = [];
  for (const [file, page] of docs) {
    for (const block of page.blocks.filter(({ language, info }) => language === 'yaml' && info !== 'compose')) {
      const problems = block.info === 'users' ? usersProblems(block.text) : await configProblems(block.text);
      complaints.push(...problems.map((problem) => `${file}:${block.line}: ${problem}`));
    }
  }
  return complaints;
}

/** The configuration that sections are merged into, so that rules about several sections hold. */
const REST = {
  node: { name: 'edge-1', hostname: 'mx1.example.com' },
  bus: { servers: ['nats://127.0.0.1:4222'] },
  tls: { certificate: './tls/fullchain.pem', key: './tls/key.pem' },
  directory: { users: './users.yaml' },
  credentials: { nek: './secrets/nek.key' },
};

async function configProblems(text: string): Promise<string[]> {
  let data: Record<string, unknown>;
  try {
    data = parse(text) as Record<string, unknown>;
  } catch (error) {
    return [errorText(error)];
  }
  const whole = Object.hasOwn(data, 'node') ? text : stringify({ ...REST, ...data });
  const loaded = await parseConfig(whole, '/', { files: false });
  return loaded.ok ? [] : loaded.problems.map(({ path, message }) => `${formatPath(path)}: ${message}`);
}

function usersProblems(text: string): string[] {
  try {
    parseUsersFile(text, 'users.yaml');
    return [];
  } catch (error) {
    return [errorText(error)];
  }
}

/** Options of the configuration that are named in the text: `queue.copies`, `queue.copies: 2`. */
export function unknownSettings(docs: Docs): string[] {
  const paths = listOptions().map(({ path }) => path.replaceAll('[]', ''));
  const sections = new Set(paths.map((path) => path.split('.')[0] ?? ''));
  const known = new Set(paths.flatMap((path) => prefixes(path)));
  return all(docs, ({ spans }, file) =>
    spans.flatMap(({ text, line }) => {
      const path = /^([a-z-]+(?:\.[a-z-]+)+)(?::|$)/.exec(text.replaceAll('[]', ''))?.[1];
      if (
        path === undefined ||
        !sections.has(path.split('.')[0] ?? '') ||
        /\.(ts|js|yaml|json|ini|pem|key)$/.test(path)
      )
        return [];
      return known.has(path) ? [] : [`${file}:${line}: the configuration has no ${path}`];
    }),
  );
}

/** `a.b.c`, `a.b`, `a`. */
const prefixes = (path: string): string[] => {
  const parts = path.split('.');
  return parts.map((_, n) => parts.slice(0, n + 1).join('.'));
};

/** Files and folders of the repository, patterns too, and tests by their name, `kill.scenario`. */
export function missingPaths(docs: Docs, found: (pattern: string) => boolean): string[] {
  return all(docs, ({ spans }, file) =>
    spans.flatMap(({ text, line }) => {
      const pattern = /^(?!sealpost\.)[\w-]+\.(?:scenario|test)$/.test(text)
        ? `test/**/${text}.ts`
        : /^(?:cluster|docs|services|shared|test|\.ci)\/[\w./*<>-]*$/.test(text)
          ? text.replaceAll(/<[^>]*>/g, '*')
          : undefined;
      return pattern === undefined || found(pattern) ? [] : [`${file}:${line}: there is no ${text}`];
    }),
  );
}

/** SMTP replies that are quoted, `451 4.3.0 Queue is busy …`: the code has these words in `source`. */
export function unknownReplies(docs: Docs, source: string): string[] {
  return all(docs, ({ spans }, file) =>
    spans.flatMap(({ text, line }) => {
      const [, code, enhanced, words] = /^([245]\d\d) ([245]\.\d+\.\d+) (.+)$/.exec(text) ?? [];
      if (words === undefined) return [];
      const parts = words.split('…').map((part) => part.trim());
      const there = source.includes(`${code}, '${enhanced}'`) && parts.every((part) => source.includes(part));
      return there ? [] : [`${file}:${line}: nothing replies ${text}`];
    }),
  );
}

function all(docs: Docs, check: (page: Page, file: string) => string[]): string[] {
  return [...docs].flatMap(([file, page]) => check(page, file));
}
