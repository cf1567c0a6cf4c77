import { SealpostError } from '#shared/errors.ts';
import type { DnsView, KeyStatus } from '#shared/keys/key-status.ts';
import { askEach, type CredentialStore, listKeys } from '../../reports/keys/key-list.ts';
import { type CommonOptions, print, withStore } from '../context.ts';
import { EXIT } from '../exit.ts';
import { table } from '../table.ts';

/** `sealpost keys verify`: every key at every name server, asked from every node, and whether every signer has it. */

/** States in which the record must be right and every signer must hold the key; before, both are on their way. */
const MUST_BE_RIGHT = new Set<KeyStatus['state']>(['published', 'proven', 'active', 'retiring']);
/** States in which nothing holds the private key any more. */
const OVER = new Set<KeyStatus['state']>(['retired', 'revoked', 'deleted']);

type Verified = { key: KeyStatus; ok: boolean; views: DnsView[]; unproven: { node: string; reason: string }[] };

export async function verify(
  domain: string | undefined,
  selector: string | undefined,
  options: CommonOptions,
): Promise<void> {
  const results = await withStore(options, async (store) => {
    const keys =
      selector === undefined
        ? (await listKeys(store, domain)).keys
        : [await store['key-show']({ domain: domain ?? '', selector })];
    if (keys.length === 0 && domain !== undefined) {
      throw new SealpostError('not-found', `there are no keys for ${domain}: nothing was verified`);
    }
    return askEach(keys, (key) => verifyKey(store, key));
  });
  const value = results.map(({ key, ...result }) => ({
    domain: key.domain,
    selector: key.selector,
    state: key.state,
    ...result,
  }));
  const ok = !results.some((r) => !r.ok && MUST_BE_RIGHT.has(r.key.state));
  print(options, { ok, keys: value }, () =>
    results.length === 0 ? 'no keys' : table(['KEY', 'STATE', 'NODE', 'SERVER', 'VERDICT'], results.flatMap(rows)),
  );
  if (!ok) process.exitCode = EXIT.failed;
}

async function verifyKey(store: CredentialStore, key: KeyStatus): Promise<Verified> {
  const { domain, selector } = key;
  const { views, unproven } = await store['key-verify']({ domain, selector });
  const missing = OVER.has(key.state) ? [] : unproven;
  const seen = key.publish === 'none' || (views.length > 0 && views.every((v) => v.verdict === 'ok'));
  return { key, ok: missing.length === 0 && seen, views, unproven: missing };
}

function rows({ key, views, unproven }: Verified): string[][] {
  const name = [`${key.selector} of ${key.domain}`, key.state];
  const seen = views.flatMap((view) =>
    view.servers.length === 0
      ? [[...name, view.node, '-', view.summary]]
      : view.servers.map(({ server, verdict, detail }) => [
          ...name,
          view.node,
          server,
          verdict === 'ok' || detail === '' ? verdict : `${verdict}: ${detail}`,
        ]),
  );
  const signers = unproven.map(({ node, reason }) => [...name, node, '-', `its signer cannot use the key: ${reason}`]);
  const all = [...seen, ...signers];
  if (all.length > 0) return all;
  return [
    [...name, '-', '-', key.publish === 'none' ? 'every signer has it; the domain is not in DNS' : 'no node answered'],
  ];
}
