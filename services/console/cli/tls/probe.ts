import type { Command } from 'commander';
import { routerContract } from '#services/router/contract.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import type { ProbedDomain } from '#shared/tls/probe.ts';
import { firstUsed, hostName, hostRows, outcomeOf } from '../../reports/tls/probed.ts';
import { type CommonOptions, openCaller, print, withCommon } from '../context.ts';
import { EXIT, usageError } from '../exit.ts';
import { findRouters } from '../mail/routers.ts';
import { clean, pairs } from '../table.ts';

type ProbeOptions = CommonOptions & { node?: string };

/** Longer than a router takes for hosts that do not answer. */
const PATIENCE_MS = 100_000;

export function registerProbe(tls: Command): void {
  withCommon(
    tls
      .command('probe')
      .description(
        'what TLS mail for a domain gets at each of its hosts and why, seen from a node: connects to each as delivery does, and sends no mail; fails where mail would not leave',
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
  print(options, { domain, ...probed, outcome: outcomeOf(domain, probed) }, () => text(domain, probed));
  if (probed.nextHop === '' || probed.unreachable !== undefined) process.exitCode = EXIT.failed;
  else if (probed.hosts.length > 0 && firstUsed(probed) === undefined) process.exitCode = EXIT.failed;
}

function text(domain: string, probed: ProbedDomain): string {
  const hosts = probed.hosts.map((host) => `${clean(hostName(host))}\n${pairs(hostRows(host))}`);
  return [clean(outcomeOf(domain, probed)), ...hosts].join('\n\n');
}
