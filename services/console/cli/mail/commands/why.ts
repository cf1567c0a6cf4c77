import type { Command } from 'commander';
import { formatTime } from '#shared/units.ts';
import { type Answers, askWhy } from '../../../reports/mail/why/ask.ts';
import type { Explanation, MailFacts } from '../../../reports/mail/why/facts.ts';
import { adviceText, explained, unknownExplained } from '../../../reports/mail/why/sentence.ts';
import { type CommonOptions, openCaller, parseCount, print, withCommon } from '../../context.ts';
import { EXIT } from '../../exit.ts';
import { cleanLines, pairs, table } from '../../table.ts';
import { shownText } from './queue.ts';

/** `sealpost why`: one sentence for each mail that is found, and the facts where it is one. */

type WhyOptions = CommonOptions & { limit: number };

export function register(program: Command): void {
  withCommon(program.command('why').description('why a mail did not arrive, or what became of it'))
    .argument(
      '<what>',
      'a queue id, a Message-ID, an address or domain of a sender or recipient, the IP address of a client, or a session or trace of the log',
    )
    .option('--limit <number>', 'how many mails at most', parseCount, 5)
    .action(why);
}

type Told = { facts: MailFacts; explanation: Explanation };

async function why(what: string, options: WhyOptions): Promise<void> {
  await using caller = await openCaller(options);
  const answers = await askWhy(caller, what, Math.min(options.limit, 100));
  const now = Date.now();
  const told = answers.found.map((facts) => ({ facts, explanation: explained(facts, now, answers.about) }));
  const { answered, silent, keep, refusalsSince } = answers.asked;
  const value = {
    ...(told[0]?.explanation ?? unknownExplained(answers.asked)),
    found: told.map(({ facts, explanation }) => ({ ...explanation, facts })),
    more: answers.more,
    asked: { answered, silent, keep, refusalsSince },
  };
  print(options, value, () => textOf(what, answers, told));
  for (const { node, error } of silent)
    console.error(cleanLines(`sealpost: ${node} was not asked to the end: ${error}`));
  if (told.length === 0) process.exitCode = silent.length > 0 ? EXIT.unreachable : EXIT.failed;
}

function textOf(what: string, { asked, more }: Answers, told: readonly Told[]): string {
  const [only, ...others] = told;
  if (only === undefined) return adviceText(unknownExplained(asked));
  if (others.length === 0) return [adviceText(only.explanation), '', factsText(only)].join('\n');
  const lines = told.flatMap(({ facts, explanation }) => ['', headOf(facts), adviceText(explanation)]);
  const rest = more ? ['', `… and more: --limit ${told.length * 10}, or "sealpost queue find ${what}"`] : [];
  return [`${told.length} mails of ${what}, newest first:`, ...lines, ...rest].join('\n');
}

function headOf(facts: MailFacts): string {
  switch (facts.kind) {
    case 'queued':
    case 'left':
      return `${facts.entry.queueId}, ${formatTime(facts.entry.arrived)}, from <${facts.entry.reversePath}>`;
    case 'refused':
      return `refused, ${formatTime(facts.refusal.at)}`;
    default:
      return facts.queueId;
  }
}

function factsText({ facts, explanation }: Told): string {
  switch (facts.kind) {
    case 'queued':
    case 'left': {
      const { entry } = facts;
      const finished = facts.kind === 'left';
      const copy = finished && facts.copy ? (true as const) : undefined;
      const second = facts.kind === 'queued' ? facts.queued.second : undefined;
      return [
        shownText({ entry, finished, copy }),
        ...(second === undefined ? [] : [`\nThe second copy is on ${second}.`]),
        ...noticeLines(entry.notices),
      ].join('\n');
    }
    case 'refused':
      return refusalText(facts);
    default:
      return pairs([
        ['id', facts.queueId],
        ['node', explanation.node ?? ''],
      ]);
  }
}

function noticeLines(notices: Extract<MailFacts, { kind: 'left' }>['entry']['notices']): string[] {
  if (notices === undefined || notices.length === 0) return [];
  const rows = notices.map(({ queueId, kind, to, at }) => [formatTime(at), kind, `<${to}>`, queueId]);
  return ['', table(['NOTICE', 'KIND', 'TO', 'ID'], rows)];
}

function refusalText({ node, refusal }: Extract<MailFacts, { kind: 'refused' }>): string {
  const { client, why: reasoning = [], filters = {} } = refusal;
  const optional = (name: string, value: string | undefined): [string, string][] =>
    value === undefined ? [] : [[name, value]];
  return pairs([
    ['node', node],
    ['listener', refusal.listener],
    ['time', formatTime(refusal.at)],
    ...(refusal.count > 1 ? [['times', `${refusal.count}, since ${formatTime(refusal.first)}`] as const] : []),
    ['client', client.address],
    ...optional('name', client.name),
    ...optional('EHLO', client.helo),
    ...optional('user', refusal.user),
    ['step', refusal.step],
    ...optional('from', refusal.from),
    ...refusal.to.map((to) => ['to', to] as const),
    ...optional('message-id', refusal.messageId),
    ...reasoning.map((step) => ['why', step] as const),
    ...Object.entries(filters).map(([filter, said]) => [`filter ${filter}`, said] as const),
    ...optional('error', refusal.error),
    ...optional('session', refusal.session),
    ...optional('trace', refusal.trace),
    ...optional('id', refusal.queueId),
  ]);
}
