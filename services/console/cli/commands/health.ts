import type { Command } from 'commander';
import { print } from '../context.ts';
import { EXIT } from '../exit.ts';
import { askHealth } from '../start/health.ts';

export function register(program: Command): void {
  program
    .command('health')
    .description('whether a process does its work, for the health check of a container')
    .argument('<socket>', 'what "sealpost start --health" was given')
    .option('--json', 'print JSON for programs')
    .action(health);
}

async function health(socket: string, options: { json?: boolean }): Promise<void> {
  const found = await askHealth(socket);
  print(options, found, () =>
    found.problems.length === 0 ? `${found.services.join(', ')} of ${found.node}: well` : found.problems.join('\n'),
  );
  if (found.problems.length > 0) process.exitCode = EXIT.failed;
}
