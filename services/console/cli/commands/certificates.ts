import type { Command } from 'commander';
import { importCertificate } from '../certificates/import.ts';
import { deleteCertificate, list, order, show } from '../certificates/list.ts';
import { withCommon } from '../context.ts';

export function register(program: Command): void {
  const certificates = program
    .command('certificates')
    .description('the TLS certificates that the listeners of all nodes share');
  const command = (name: string, text: string): Command => withCommon(certificates.command(name).description(text));
  command('import', 'take in a certificate and its key; every listener uses it for new sessions a moment later')
    .argument('<name>', 'what it is called here, such as mx; the certificate of this name before is replaced')
    .requiredOption('--certificate <file>', 'PEM file: the certificate, then its chain')
    .requiredOption('--key <file>', 'PEM file: its private key')
    .action(importCertificate);
  command(
    'list',
    'all certificates, where they are in use, and what needs attention; fails on errors and warnings',
  ).action(list);
  command('show', 'everything about a certificate, with its chain').argument('<name>', 'its name').action(show);
  command('order', 'have one of the section "certificates" ordered now (ACME), whether it is due or not')
    .alias('renew')
    .argument('<name>', 'its name')
    .option('--watch', 'wait until it is there, or the order has failed')
    .action(order);
  command(
    'delete',
    'remove a certificate; listeners drop it, but for their default, which stays until another takes its place',
  )
    .argument('<name>', 'its name')
    .option('--force', 'also the one that tls.credential names; of one that is deleted, forget its TXT records')
    .action(deleteCertificate);
}
