import type { KeyStatus } from '#shared/keys/key-status.ts';
import type { RotationStatus } from '#shared/keys/rotation.ts';
import type { CredentialStore } from '../../reports/keys/key-list.ts';
import { nextText, rotationText } from '../../reports/keys/text.ts';
import { confirm } from '../confirm.ts';
import { type CommonOptions, print, withStore } from '../context.ts';
import { clean } from '../table.ts';

/** What an operator decides about one key, or about the rotation under way. */

type Force = CommonOptions & { force?: boolean };
type Yes = { yes?: boolean };

export const activate = (domain: string, selector: string, options: CommonOptions): Promise<void> =>
  changeKey(options, (store) => store['key-activate']({ domain, selector }));

export const retire = (domain: string, selector: string, options: Force): Promise<void> =>
  changeKey(options, (store) => store['key-retire']({ domain, selector, force: options.force ?? false }));

export async function revoke(domain: string, selector: string, options: Force & Yes): Promise<void> {
  const mail = 'mail on its way that it signed fails verification from then on';
  await confirm(`Key ${selector} of ${domain} stops signing for good and its record says so; ${mail}`, options);
  await changeKey(options, (store) => store['key-revoke']({ domain, selector, force: options.force ?? false }));
}

export async function remove(domain: string, selector: string, options: CommonOptions & Yes): Promise<void> {
  await confirm(`Key ${selector} of ${domain} and its record are removed for good`, options);
  await withStore(options, (store) => store['key-delete']({ domain, selector }));
  print(options, { domain, selector }, () =>
    clean(`key ${selector} of ${domain} is deleted as soon as its record is gone from DNS`),
  );
}

async function changeKey(
  options: CommonOptions,
  change: (store: CredentialStore) => Promise<KeyStatus>,
): Promise<void> {
  const key = await withStore(options, change);
  print(options, key, () => clean(`key ${key.selector} of ${key.domain}, ${key.state}: ${nextText(key)}`));
}

export const freeze = (domain: string, options: CommonOptions & { reason?: string }): Promise<void> =>
  changeRotation(options, (store) =>
    store['rotation-freeze']({ domain, ...(options.reason !== undefined && { reason: options.reason }) }),
  );

export const rollback = (domain: string, options: CommonOptions): Promise<void> =>
  changeRotation(options, (store) => store['rotation-rollback']({ domain }));

export async function resume(domain: string, options: CommonOptions): Promise<void> {
  await withStore(options, (store) => store['rotation-resume']({ domain }));
  print(options, { domain }, () => `the keys of ${domain} are resumed`);
}

async function changeRotation(
  options: CommonOptions,
  change: (store: CredentialStore) => Promise<RotationStatus>,
): Promise<void> {
  const rotation = await withStore(options, change);
  print(options, rotation, () => clean(rotationText(rotation)));
}
