import type { Command } from 'commander';
import { isPlainVia } from '#cluster/config/schema/route.ts';
import { routerContract } from '#services/router/contract.ts';
import { type Directive, type DirectiveSubject, directiveText, LONGEST_DIRECTIVE_MS } from '#shared/directive.ts';
import { formatDuration, formatTime, parseDuration } from '#shared/units.ts';
import { directivesInForce, endingOf, heard } from '../../../reports/mail/directives.ts';
import { findRouters } from '../../../reports/mail/routers.ts';
import { type CommonOptions, openCaller, print, withCommon } from '../../context.ts';
import { usageError } from '../../exit.ts';
import { operator } from '../../operator.ts';
import { table } from '../../table.ts';
import { tellUndone } from '../undone.ts';

/**
 * `sealpost queue suspend | resume | redirect | directives`: what all routers do until a time. One of them is told; the others
 * hear of it, and the command waits for a moment until each of them says that it has.
 */

type Subject = { domain?: string; sender?: string; destination?: string };
type SetOptions = CommonOptions & Subject & { for?: string; reason?: string };
type RedirectOptions = CommonOptions & { via?: string; for?: string; reason?: string; end?: boolean };

export function registerDirectives(queue: Command): void {
  const command = (name: string, text: string): Command => withCommon(queue.command(name).description(text));
  const about = (name: string, text: string): Command =>
    command(name, text)
      .option('--domain <domain>', 'mail to this domain and everything below it')
      .option('--sender <sender>', 'mail with this reverse-path: an address, or a domain with everything below it')
      .option('--destination <next hop>', 'mail on its way to this next hop, as queue show names it');
  const timed = (one: Command): Command =>
    one.option('--reason <text>', 'why, for those who look').option('--for <duration>', 'for how long: 30m, 2h, 3d');
  timed(about('suspend', 'let mail wait, on all nodes, until it is resumed')).action(suspend);
  about('resume', 'end that').action(resume);
  timed(command('redirect', 'deliver the mail to a domain to another host for a time, on all nodes'))
    .argument('<domain>', 'the domain, with everything below it')
    .option('--via <hop>', 'smtp://host, smtps://host, lmtp://host, each with or without :port, or mx')
    .option('--end', 'end that')
    .action(redirect);
  command('directives', 'what is suspended and redirected')
    .option('--node <name>', 'as the router of this node has it')
    .action(list);
}

async function suspend(options: SetOptions): Promise<void> {
  await set({ kind: 'suspend', ...subjectOf(options) }, options.for ?? '90d', options);
}

async function resume(options: CommonOptions & Subject): Promise<void> {
  await end({ kind: 'suspend', ...subjectOf(options) }, options);
}

async function redirect(name: string, options: RedirectOptions): Promise<void> {
  const subject = { kind: 'redirect', about: 'domain', name } as const;
  const { via, end: ends = false } = options;
  if (ends && (via !== undefined || options.for !== undefined))
    throw usageError('--end ends a redirect: it has no --via and no --for');
  if (ends) return end(subject, options);
  if (via === undefined || options.for === undefined)
    throw usageError('say where the mail goes, and for how long: --via smtp://host --for 2h');
  if (!isPlainVia(via)) throw usageError('--via is smtp://host, smtps://host or lmtp://host, without a user, or mx');
  return set(subject, options.for, options, via);
}

/** Exactly one way to say which mail is meant. */
function subjectOf({ domain, sender, destination }: Subject): Pick<DirectiveSubject, 'about' | 'name'> {
  const named = Object.entries({ domain, sender, destination }).filter(([, name]) => name !== undefined);
  const [[about, name] = []] = named;
  if (named.length !== 1 || name === undefined || name === '')
    throw usageError('say which mail: --domain, --sender or --destination');
  return { about: about as DirectiveSubject['about'], name };
}

async function set(
  subject: DirectiveSubject,
  time: string,
  options: CommonOptions & { reason?: string },
  via?: string,
): Promise<void> {
  const forMs = parseDuration(time);
  if (forMs === undefined || forMs <= 0 || forMs > LONGEST_DIRECTIVE_MS)
    throw usageError(`"${time}" is not a time: write 30m, 2h or 3d, at most ${formatDuration(LONGEST_DIRECTIVE_MS)}`);
  const { reason } = options;
  await using caller = await openCaller(options);
  const routers = await findRouters(caller);
  const { directive } = await caller
    .client(routerContract)
    ['directive-set'](
      { ...subject, forMs, by: operator(), ...(reason !== undefined && { reason }), ...(via !== undefined && { via }) },
      { node: routers.up[0] ?? '' },
    );
  const lacking = await heard(caller, routers, directive, tellLacking);
  const done = subject.kind === 'suspend' ? 'suspended' : `redirected to ${via}`;
  const retry = subject.kind === 'redirect' ? '; what waits goes there at its next attempt (queue retry)' : '';
  print(
    options,
    { directive, lacking },
    () => `${whatText(directive)} ${done} until ${formatTime(directive.until)}${retry}`,
  );
}

async function end(subject: DirectiveSubject, options: CommonOptions): Promise<void> {
  await using caller = await openCaller(options);
  const routers = await findRouters(caller);
  const { directive } = await caller
    .client(routerContract)
    ['directive-end']({ ...subject, by: operator() }, { node: routers.up[0] ?? '' });
  const lacking = await heard(caller, routers, { ...directive, ended: true }, tellLacking);
  const done = subject.kind === 'suspend' ? 'is resumed' : 'is redirected no more';
  print(options, { directive, lacking }, () => `${whatText(directive)} ${done}`);
}

/** They hear of it when they are back. */
function tellLacking(node: string, error: unknown): void {
  tellUndone(`${node} has not heard of it yet, and follows when it does`, error);
}

async function list(options: CommonOptions & { node?: string }): Promise<void> {
  await using caller = await openCaller(options);
  const { up } = await findRouters(caller, options.node);
  const directives = await directivesInForce(caller, up[0] ?? '', Date.now());
  print(options, { directives }, () =>
    directives.length === 0
      ? 'nothing is suspended or redirected'
      : table(
          ['WHAT', 'MAIL', 'VIA', 'UNTIL', 'BY', 'REASON'],
          directives.map((one) => [
            one.kind,
            `${one.about} ${one.name}`,
            one.via ?? '',
            formatTime(one.until),
            one.by,
            one.reason ?? '',
          ]),
        ),
  );
}

function whatText({ about, name }: DirectiveSubject): string {
  return `mail ${about === 'sender' ? 'of' : 'to'} ${about === 'domain' ? '' : `${about} `}${name}`;
}

/** In a list of the queue: what the mail waits for. */
export function suspendedText(directive: Directive): string {
  return `an operator: suspended ${directiveText(directive)}; ${endingOf(directive)}`;
}
