import type { ExplainedMessage } from '#services/policy/contract.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import { describeMessageTls } from '#shared/mail/message-tls.ts';
import { authenticationResults } from '../../reports/mail/authentication.ts';
import { clean, cleanLines, pairs } from '../table.ts';

/** What policy says of a message, for people: what was found out, the fields that it gets, and where it goes. */
export function messageText({ verdict, authenticity }: ExplainedMessage): string[] {
  const accepted = verdict.action === 'accept' ? verdict : undefined;
  return [
    '',
    ...(authenticity === undefined
      ? ['its genuineness is not checked: only that of mail from outside is']
      : resultLines(authenticity)),
    ...(accepted === undefined ? [] : acceptedLines(accepted)),
  ];
}

function resultLines(authenticity: Authenticity): string[] {
  const rows = authenticationResults(authenticity).map(({ method, result, details, reason }): [string, string] => [
    method,
    `${[result, ...details].join(', ')}${reason === undefined ? '' : `: ${reason}`}`,
  ]);
  return pairs(rows).split('\n');
}

function acceptedLines(accepted: Extract<ExplainedMessage['verdict'], { action: 'accept' }>): string[] {
  const { prepend, header, reversePath, junk, tls } = accepted;
  return [
    ...(prepend.length === 0 ? [] : ['', 'put in front:', ...indented(prepend.join(''))]),
    ...(header === undefined ? [] : ['', 'in place of its header:', ...indented(header)]),
    ...(reversePath === undefined ? [] : ['', `reverse-path: ${clean(reversePath || '<>')}`]),
    ...(junk ? ['', 'delivered as junk'] : []),
    ...(tls === undefined ? [] : ['', `asks for ${describeMessageTls(tls)}`]),
  ];
}

/** Header fields are shown as UTF-8, which SMTPUTF8 allows (RFC 6532). */
function indented(fields: string): string[] {
  const text = cleanLines(Buffer.from(fields, 'latin1').toString('utf8').trimEnd());
  return text.split('\n').map((line) => `  ${line}`);
}
