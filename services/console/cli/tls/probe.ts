import type { Command } from 'commander';
import { routerContract } from '#services/router/contract.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import type { ProbedWay } from '#shared/tls/probe.ts';
import { findRouters } from '../../reports/mail/routers.ts';
import { hostName, hostRows, isOnItsWay, otherOutcomes, outcomeOf } from '../../reports/tls/probed.ts';
import { type CommonOptions, openCaller, print, withCommon } from '../context.ts';
import { EXIT, usageError } from '../exit.ts';
import { clean, pairs } from '../table.ts';

type ProbeOptions = CommonOptions & { node?: string };

/** Longer than a router takes for hosts that do not answer. */
const PATIENCE_MS = 100_000;

export function registerProbe(tls: Command): void {
  withCommon(
    tls
      .command('probe')
      .description(
        'what TLS mail for a domain gets at each of its hosts and why, by whoever sends it, seen from a node: connects to each as delivery does, and sends no mail; fails where mail would not leave',
      )
      .argument('<domain>', 'the domain of a recipient'),
  )
    .option('--node <name>', 'the node that looks (default: this one, or the first of the cluster)')
    .action(probe);
}

async function probe(name: string, options: ProbeOptions): Promise<void> {
  const domain = normalizeDomain(name.slice(name.lastIndexOf('@') + 1));
  if (domain === '' || /[\s*]/.test(domain)) throw usageError(`"${name}" is not a domain`);
  await using caller = await openCaller(options);
  const { up } = await findRouters(caller, options.node);
  const own = caller.config.node.name;
  const node = up.includes(own) ? own : up[0];
  const ask = caller.client(routerContract)['tls-probe'];
  const probed = await ask({ domain }, { ...(node !== undefined && { node }), timeout: PATIENCE_MS });
  const { others = [], ...general } = probed;
  const outcomes = otherOutcomes(domain, probed);
  const told = others.map((way, n) => ({ ...way, outcome: outcomes[n] ?? '' }));
  const value = { domain, ...general, outcome: outcomeOf(domain, general), ...(told.length > 0 && { others: told }) };
  print(options, value, () => [value, ...told].map(textOf).join('\n\n'));
  if (![general, ...others].every(isOnItsWay)) process.exitCode = EXIT.failed;
}

function textOf({ outcome, hosts }: ProbedWay & { outcome: string }): string {
  return [clean(outcome), ...hosts.map((host) => `${clean(hostName(host))}\n${pairs(hostRows(host))}`)].join('\n\n');
}
