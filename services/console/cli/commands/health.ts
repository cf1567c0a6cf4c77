import type { Command } from 'commander';
import { checkHealth } from '../start/health-check.ts';

/** For help, and for options: without those `sealpost.js` goes to `health-check.ts` directly. */
export function register(program: Command): void {
  program
    .command('health')
    .description('whether a process does its work, for the health check of a container')
    .argument('<socket>', 'what "sealpost start --health" was given')
    .option('--json', 'print JSON for programs')
    .action((socket: string, { json = false }: { json?: boolean }) => checkHealth(socket, json));
}
