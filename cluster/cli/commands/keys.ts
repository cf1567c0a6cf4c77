import { Argument, type Command } from 'commander';
import { type CommonOptions, formatTime, openCaller, print, withCommon } from '#cluster/cli/context.ts';
import { usageError } from '#cluster/cli/exit.ts';
import { table } from '#cluster/cli/table.ts';
import { credentialStoreContract, KeyAlgorithm } from '#services/credential-store/contract.ts';
import { dkimRecordName, dkimRecordValue, zoneLine } from '#shared/dkim-record.ts';
import { generateNek, parseNek } from '#shared/nek.ts';

export function register(program: Command): void {
  const keys = program.command('keys').description('make and publish DKIM keys');
  const command = (name: string, text: string): Command => withCommon(keys.command(name).description(text));
  const named = (name: string, text: string): Command =>
    command(name, text)
      .argument('<domain>', 'whose mail it signs (d=)')
      .argument('<selector>', 'its name in DNS (s=): <selector>._domainkey.<domain>');

  named('create', 'make a key; it signs from then on')
    .addArgument(new Argument('[algorithm]', 'kind of key').choices(KeyAlgorithm.options).default('rsa-2048'))
    .option('--allow-weak', 'also make a key that receivers no longer trust (rsa-1024)')
    .action(create);
  command('list', 'all keys, or those of a domain').argument('[domain]', 'only its keys').action(list);
  named('export-dns', 'the DNS record that publishes a key, as a line of a zone file')
    .option('--value', 'only the value, as the web form of a DNS provider wants it')
    .action(exportDns);
  named('delete', 'remove a key for good').action(remove);
  command('nek', 'print a new named encryption key, which wraps all others: keep it safe')
    .argument('<name>', 'its name, such as edge')
    .action(nek);
}

async function create(
  domain: string,
  selector: string,
  algorithm: KeyAlgorithm,
  options: CommonOptions & { allowWeak?: boolean },
): Promise<void> {
  await using caller = await openCaller(options);
  const store = caller.client(credentialStoreContract);
  const key = await store.create({ domain, selector, algorithm, allowWeak: options.allowWeak ?? false });
  print(options, key, () =>
    [
      `created ${key.algorithm} key ${key.selector} of ${key.domain}, ${key.state}`,
      `fingerprint ${key.fingerprint}`,
      '',
      'publish this record:',
      zoneLine(key),
    ].join('\n'),
  );
}

async function list(domain: string | undefined, options: CommonOptions): Promise<void> {
  await using caller = await openCaller(options);
  const { keys } = await caller.client(credentialStoreContract).list(domain === undefined ? {} : { domain });
  print(options, { keys }, () =>
    keys.length === 0
      ? 'no keys'
      : table(
          ['DOMAIN', 'SELECTOR', 'ALGORITHM', 'STATE', 'CREATED', 'FINGERPRINT'],
          keys.map((k) => [k.domain, k.selector, k.algorithm, k.state, formatTime(k.created), k.fingerprint]),
        ),
  );
}

async function exportDns(
  domain: string,
  selector: string,
  options: CommonOptions & { value?: boolean },
): Promise<void> {
  await using caller = await openCaller(options);
  const key = await caller.client(credentialStoreContract).get({ domain, selector });
  const record = { name: dkimRecordName(key), type: 'TXT', value: dkimRecordValue(key), zone: zoneLine(key) };
  print(options, record, () => (options.value ? record.value : record.zone));
}

async function remove(domain: string, selector: string, options: CommonOptions): Promise<void> {
  await using caller = await openCaller(options);
  await caller.client(credentialStoreContract).delete({ domain, selector });
  print(options, { domain, selector }, () => `deleted key ${selector} of ${domain}`);
}

/** Needs no node: the first key is made before there is one. */
function nek(name: string, options: CommonOptions): void {
  let text: string;
  try {
    text = generateNek(name);
  } catch (error) {
    throw usageError(error instanceof Error ? error.message : String(error));
  }
  const { fingerprint } = parseNek(text);
  print(options, { name, fingerprint, nek: text.trimEnd() }, () => text.trimEnd());
}
