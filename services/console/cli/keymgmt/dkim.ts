import { isWeak } from '#shared/dkim/algorithms.ts';
import { dkimRecordName } from '#shared/dkim/record.ts';
import { KeyAlgorithm } from '#shared/keys/key.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { listKeys } from '../../reports/keys/key-list.ts';
import { recordOf, zoneText } from '../../reports/keys/record.ts';
import { dnsText, nodesText, problemText } from '../../reports/keys/text.ts';
import { confirm } from '../confirm.ts';
import { type CommonOptions, print, withStore } from '../context.ts';
import { afterCreation } from '../keys/create.ts';
import { writeNew } from '../keys/export.ts';
import { clean } from '../table.ts';

/** `sealpost keymgmt … DKIM …`. Each sentence begins as Domino's does, for scripts that search for it. */

export async function createRsa([domain = '', selector = '', bits = '2048']: string[], options: CommonOptions) {
  // 1024 is never the default: it was asked for in so many words.
  if (bits === '1024') {
    console.error(
      'warning: receivers no longer trust keys of 1024 bits; make one of 2048 as soon as your DNS can hold it',
    );
  }
  await create(domain, selector, KeyAlgorithm.parse(`rsa-${bits}`), options);
}

export async function createEd25519([domain = '', selector = '']: string[], options: CommonOptions) {
  await create(domain, selector, 'ed25519', options);
}

async function create(domain: string, selector: string, algorithm: KeyAlgorithm, options: CommonOptions) {
  const request = { domain, selector, algorithm, allowWeak: isWeak(algorithm) };
  const key = await withStore(options, (store) => store['key-create'](request));
  print(options, key, () => [`Created DKIM key ${dkimRecordName(key)}`, '', afterCreation(key)].join('\n'));
}

export async function showAll(_: string[], options: CommonOptions) {
  const { keys } = await withStore(options, (store) => listKeys(store));
  print(options, { keys }, () => [...keys.map(line), 'Show All DKIM Keys succeeded.'].join('\n'));
}

export async function showDomain([domain = '']: string[], options: CommonOptions) {
  const { keys } = await withStore(options, (store) => listKeys(store, domain));
  print(options, { keys }, () => [...keys.map(line), `Show DKIM Keys of ${clean(domain)} succeeded.`].join('\n'));
}

export async function showKey([domain = '', selector = '']: string[], options: CommonOptions) {
  const key = await withStore(options, (store) => store['key-show']({ domain, selector }));
  print(options, key, () => [line(key), `Show DKIM Key ${clean(dkimRecordName(key))} succeeded.`].join('\n'));
}

function line(key: KeyStatus): string {
  const problem = problemText(key);
  const facts = [
    `Selector: ${key.selector}`,
    `Domain: ${key.domain}`,
    `Fingerprint ${key.fingerprint}`,
    `State: ${key.state}`,
    `Nodes: ${nodesText(key)}`,
    `DNS: ${dnsText(key)}`,
    ...(problem === undefined ? [] : [`Problem: ${problem}`]),
  ];
  return clean(`DKIM : ${facts.join(', ')}`);
}

/**
 * The file is what a zone takes in with $INCLUDE as it is: the whole line, its value split into strings of at most 255
 * bytes. Domino's file holds the bare value, which zones and many forms refuse; `--value` writes that.
 */
export async function exportDns(
  [domain = '', selector = '', file = '']: string[],
  options: CommonOptions & { value?: boolean },
) {
  const key = await withStore(options, (store) => store['key-show']({ domain, selector }));
  const record = recordOf(key);
  await writeNew(file, `${options.value ? record.value : zoneText(record)}\n`, 0o644);
  print(options, { ...record, file }, () => `Exported the DNS TXT record of ${dkimRecordName(key)} to ${file}`);
}

export async function remove([domain = '', selector = '']: string[], options: CommonOptions & { yes?: boolean }) {
  await confirm(`Key ${selector} of ${domain} and its record are removed for good`, options);
  await withStore(options, (store) => store['key-delete']({ domain, selector }));
  print(options, { domain, selector }, () => `Deleted DKIM key ${clean(dkimRecordName({ domain, selector }))}`);
}
