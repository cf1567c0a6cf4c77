import type { Command } from 'commander';
import { withCommon } from '../context.ts';
import { importHaraka, importNotesIni, importOpendkim, importPem, importRspamd } from './commands.ts';

/** `sealpost keys import …`: keys that other programs made, so that their published records stay as they are. */
export function registerImport(keys: Command): void {
  const group = keys.command('import').description('take in keys of other programs; their records stay valid');
  const command = (name: string, text: string): Command => withCommon(group.command(name).description(text));
  const withKeys = (name: string, text: string): Command =>
    command(name, text)
      .option('--dry-run', 'only say what would be done')
      .option('--allow-weak', 'also take RSA keys of 1024 bits, which receivers no longer trust')
      .option('--activate', 'sign with them by themselves (default: where the domain has no active key of their kind)')
      .option('--no-activate', 'wait for "keys activate"');
  withKeys('pem', 'a private key from a PEM or DER file')
    .argument('<domain>', 'whose mail it signs (d=)')
    .argument('<selector>', 'its name in DNS (s=): <selector>._domainkey.<domain>')
    .argument('<file>', 'PKCS#8 or PKCS#1, RSA or Ed25519')
    .action(importPem);
  withKeys('opendkim', 'the keys of OpenDKIM’s tables')
    .requiredOption('--key-table <table>', 'KeyTable of opendkim.conf: a file, file:…, refile:… or csl:…')
    .option('--signing-table <table>', 'SigningTable: which senders use which key')
    .action(importOpendkim);
  withKeys('rspamd', 'the keys of rspamd’s dkim_signing module')
    .argument('[dkim_signing.conf]', 'its configuration')
    .option('--selectors <map>', 'selector_map: a domain and its selector on each line')
    .option('--paths <map>', 'path_map: a domain and the path of its key on each line')
    .action(importRspamd);
  withKeys('haraka', 'the keys of Haraka’s plugins dkim and dkim_sign')
    .argument('<folder>', 'config of Haraka, which has the file plugins and the folder dkim')
    .action(importHaraka);
  command('notes.ini', 'what DKIM_KEY_* and RouterDKIMSigning of a Domino server mean here; changes nothing')
    .argument('<file>', 'notes.ini')
    .action(importNotesIni);
}
