import type { ExplainedMessage } from '#services/policy/contract.ts';
import type { Authenticity, DkimFound, DmarcFound } from '#shared/mail/authenticity.ts';
import { describeMessageTls } from '#shared/mail/message-tls.ts';
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

function resultLines({ spf, dkim, arc, dmarc }: Authenticity): string[] {
  const because = (reason: string | undefined): string => (reason === undefined ? '' : `: ${reason}`);
  const rows: [string, string][] = [
    [
      'SPF',
      `${spf.result}, of ${spf.scope === 'mfrom' ? 'the reverse-path' : 'EHLO'}: ${spf.domain}${because(spf.reason)}`,
    ],
    ...dkim.map((one): [string, string] => ['DKIM', `${signatureText(one)}${because(one.reason)}`]),
    [
      'ARC',
      `${arc.result}${arc.sets === 0 ? '' : `, ${arc.sets} sets, the last by ${arc.sealer}`}${because(arc.reason)}`,
    ],
    ['DMARC', `${dmarcText(dmarc)}${because(dmarc.reason)}`],
  ];
  if (dkim.length === 0) rows.splice(1, 0, ['DKIM', 'none']);
  return pairs(rows).split('\n');
}

function signatureText({ result, domain, selector, algorithm, aligned }: DkimFound): string {
  const tags = [domain && `d=${domain}`, selector && `s=${selector}`, algorithm && `a=${algorithm}`];
  return [result, ...tags, aligned && 'aligned with the author'].filter((part) => part).join(', ');
}

function dmarcText({ result, from, record, policy, disposition, override }: DmarcFound): string {
  const parts = [
    result,
    from && `of ${from}`,
    record && `record of ${record.domain}: p=${record.p}`,
    policy && `asks for ${policy}`,
    `done: ${disposition}`,
    override && `because of ${override.type}${override.comment === undefined ? '' : ` (${override.comment})`}`,
  ];
  return parts.filter((part) => part).join(', ');
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
