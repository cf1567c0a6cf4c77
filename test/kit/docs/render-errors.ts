import { EXIT, exitCodeOf } from '#services/console/cli/exit.ts';
import { CONTRACTS } from '#services/topology.ts';
import { CALL_ERRORS, type Contract } from '#shared/contract.ts';
import { ERRORS, type ErrorCode } from '#shared/error-codes.ts';
import { SealpostError } from '#shared/errors.ts';

/** `docs/reference/errors.md`, made from the table of codes and the contracts. */

const CODES = Object.keys(ERRORS) as ErrorCode[];

/** The codes with which a command ends with this exit status. */
const withExit = (status: number): string =>
  CODES.filter((code) => exitCodeOf(new SealpostError(code, '')) === status)
    .map((code) => `\`${code}\``)
    .join(', ');

const INTRODUCTION = `# Error codes

Every error has a code, and a message that says what it is about. The command line prints the message, and with
\`--json\` the code too: \`{"error":{"code":"no-node","message":"…"}}\`. Codes stay as they are from version to version, so
scripts may compare them; messages may change. Errors of the operating system keep their own code, such as \`ENOSPC\`.

A command ends with exit status ${EXIT.usage} for ${withExit(EXIT.usage)}, with ${EXIT.unreachable} for ${withExit(EXIT.unreachable)}, and with ${EXIT.failed} for every other code.

"Answered by" names the operations between services that may answer with the code. Where it is empty, the code belongs
to the command line, to the start of a node, or to work in the background, which logs it.

This page is made from \`shared/error-codes.ts\` and the contracts: \`npm run docs\` writes it again.
`;

export function renderErrors(): string {
  const rows = CODES.map((code) => {
    const { meaning, action } = ERRORS[code];
    return row(`\`${code}\``, commands(meaning), commands(action), answeredBy(code));
  });
  const head = [row('Code', 'Meaning', 'What to do', 'Answered by'), row('---', '---', '---', '---')];
  return [INTRODUCTION, ...head, ...rows, ''].join('\n');
}

const row = (...cells: string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;

/** Commands as code: Markdown would take `<domain>` for a tag. */
const commands = (text: string): string => text.replace(/"(sealpost [^"]+)"/g, '`$1`');

function answeredBy(code: ErrorCode): string {
  if ((Object.values(CALL_ERRORS) as ErrorCode[]).includes(code)) return 'any operation';
  const services = (Object.values(CONTRACTS) as Contract[]).flatMap(({ name, operations }) => {
    const found = Object.entries(operations).filter(([, { errors = [] }]) => errors.includes(code));
    return found.length === 0 ? [] : [`${name}: ${found.map(([operation]) => operation).join(', ')}`];
  });
  return services.join('; ');
}
