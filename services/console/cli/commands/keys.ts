import { Argument, type Command } from 'commander';
import { KeyAlgorithm } from '#shared/keys/key.ts';
import { type CommonOptions, print, withCommon } from '../context.ts';
import { registerImport } from '../import/register.ts';
import * as change from '../keys/change.ts';
import { create } from '../keys/create.ts';
import { exportKey } from '../keys/export.ts';
import { list } from '../keys/list.ts';
import { newNek } from '../keys/nek-file.ts';
import { repair } from '../keys/repair.ts';
import { parseSpan, rotate, watch } from '../keys/rotate.ts';
import { parseDays, parseTimeOfDay, schedule } from '../keys/schedule.ts';
import { exportDns, show } from '../keys/show.ts';
import { verify } from '../keys/verify.ts';

/** What the commands below share. */
type Group = {
  command(name: string, text: string): Command;
  /** Of a domain. */
  domain(name: string, text: string): Command;
  /** Of one key. */
  key(name: string, text: string): Command;
};

export function register(program: Command): void {
  const keys = program.command('keys').description('make, publish, prove and replace DKIM keys, on all nodes together');
  const command = (name: string, text: string): Command => withCommon(keys.command(name).description(text));
  const domain = (name: string, text: string): Command =>
    command(name, text).argument('<domain>', 'whose mail it signs (d=)');
  const key = (name: string, text: string): Command =>
    domain(name, text).argument('<selector>', 'its name in DNS (s=): <selector>._domainkey.<domain>');
  const group = { command, domain, key };
  registerKeys(group);
  registerRotation(group);
  registerDecisions(group);
  registerImport(keys);
  command('nek', 'print a new named encryption key, which wraps all others: keep it safe')
    .argument('<name>', 'its name, such as edge')
    .action(nek);
}

/** Making and looking. */
function registerKeys({ command, key }: Group): void {
  key('create', 'make a key; it signs when its record is proven')
    .addArgument(new Argument('[algorithm]', 'kind of key').choices(KeyAlgorithm.options).default('rsa-2048'))
    .option('--allow-weak', 'also make a key that receivers no longer trust (rsa-1024)')
    .option('--activate', 'sign with it by itself (default: where the domain has no active key of its kind)')
    .option('--no-activate', 'wait for "keys activate"')
    .action(create);
  command('list', 'all keys, or those of a domain, and everything that needs attention')
    .argument('[domain]', 'only its keys')
    .option('--wide', 'whole fingerprints and findings')
    .action(list);
  key('show', 'everything about a key: its record, what each server says, what it waits for').action(show);
  command('verify', 'ask every node about every name server, now; fails when a key is not as it should be')
    .argument('[domain]', 'only its keys')
    .argument('[selector]', 'only this key')
    .action(verify);
  command('repair', 'write records again that a node refused or lost, from the newest authentic copy of any node')
    .argument('[domain]', 'only the record of its keys')
    .action(repair);
  key('export-dns', 'the DNS record that publishes a key')
    .option('--zone', 'as a line of a zone file (default)')
    .option('--value', 'only the value, as the web form of a DNS provider wants it')
    .option('--strings', 'the value in strings of at most 255 bytes, one a line')
    .action(exportDns);
  key('export', 'the private key in clear, PKCS#8 PEM, for another system')
    .requiredOption('--out <file>', 'a new file, for its owner alone; - into a pipe')
    .action(exportKey);
}

/** Replacing keys. */
function registerRotation({ command, domain }: Group): void {
  domain('rotate', 'replace the keys of a domain by new ones, without a gap')
    .option('--selector <new...>', 'names of the new keys, in the order of the old ones (default: by date)')
    .option('--from <old...>', 'replace only these (default: every active key)')
    .option('--side-by-side <duration>', 'how long old and new keys sign together', parseSpan)
    .option('--watch', 'show it to its end; fails when the keys are not switched')
    .action(rotate);
  domain('watch', 'show a running rotation to its end').action(watch);
  domain('freeze', 'stop a rotation before its next step')
    .option('--reason <text>', 'why, for others')
    .action(change.freeze);
  domain('resume', 'go on after a freeze or after a problem that was fixed').action(change.resume);
  domain('rollback', 'take a rotation back: the old keys sign').action(change.rollback);
  command('schedule', 'when keys are replaced by themselves; shows it without options')
    .argument('[domain]', 'whose keys (default: show all schedules)')
    .option('--every <days>', 'how often, such as 90d', parseDays)
    .option('--at <HH:MM>', 'time of day (default: 03:00)', parseTimeOfDay)
    .option('--zone <zone>', 'its time zone, such as Europe/Berlin (default: that of the node)')
    .option('--parallel', 'also while another domain is being rotated')
    .option('--off', 'remove the schedule')
    .action(schedule);
}

/** What an operator decides about one key. */
function registerDecisions({ key }: Group): void {
  key('activate', 'let a proven key sign').action(change.activate);
  key('retire', 'stop signing with a key; its record stays for the mail that it signed')
    .option('--force', 'also when nothing else signs for the domain')
    .action(change.retire);
  key('revoke', 'declare a key compromised: it stops signing immediately, and its record says so')
    .option('--force', 'also when nothing else signs for the domain')
    .option('--yes', 'do not ask')
    .action(change.revoke);
  key('delete', 'remove a key that never signed, or is revoked').option('--yes', 'do not ask').action(change.remove);
}

/** Needs no node: the first key is made before there is one. */
function nek(name: string, options: CommonOptions): void {
  const { text, nek: made } = newNek(name);
  print(options, { name, fingerprint: made.fingerprint, nek: text.trimEnd() }, () => text.trimEnd());
}
