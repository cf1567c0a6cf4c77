import { dkimRecordName } from '#shared/dkim/record.ts';
import type { KeyAlgorithm } from '#shared/keys/key.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { recordOf } from '../../reports/keys/record.ts';
import { type CommonOptions, print, withStore } from '../context.ts';

/** `sealpost keys create`. */

type CreateOptions = CommonOptions & { allowWeak?: boolean; activate?: boolean };

export async function create(
  domain: string,
  selector: string,
  algorithm: KeyAlgorithm,
  options: CreateOptions,
): Promise<void> {
  const { allowWeak = false, activate } = options;
  const request = { domain, selector, algorithm, allowWeak, ...(activate !== undefined && { activate }) };
  const key = await withStore(options, (store) => store['key-create'](request));
  print(options, key, () =>
    [
      `created ${key.algorithm} key ${key.selector} of ${key.domain}, ${key.state}`,
      `fingerprint ${key.fingerprint}`,
      '',
      afterCreation(key),
    ].join('\n'),
  );
}

/** What happens to a new key by itself, and what its owner has to do. */
export function afterCreation(key: KeyStatus): string {
  const record = recordOf(key);
  const then = key.activate
    ? 'then every node signs with it, by itself'
    : `then it is ready, and "sealpost keys activate ${key.domain} ${key.selector}" lets it sign`;
  const proof = 'waits until every name server returns it to every node';
  switch (key.publish) {
    case 'none':
      return key.activate
        ? 'The domain is not in DNS: every node signs with it as soon as it has the key.'
        : `The domain is not in DNS. "sealpost keys activate ${key.domain} ${key.selector}" lets it sign.`;
    case 'update':
      return `Sealpost publishes ${record.name} and ${proof}; ${then}.`;
    case 'cname':
      return [
        `Sealpost publishes ${record.name} and ${proof}; ${then}.`,
        `This line belongs into the zone of the domain, once:`,
        '',
        record.cname ?? '',
      ].join('\n');
    case 'manual':
      return [
        `Publish this record. Sealpost ${proof}; ${then}.`,
        '',
        record.zone,
        '',
        'A form that asks for name and value wants:',
        '',
        `name   ${dkimRecordName(key)}`,
        `value  ${record.value}`,
      ].join('\n');
  }
}
