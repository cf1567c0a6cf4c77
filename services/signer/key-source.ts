import { type SourceDeps, StoreSource } from '#cluster/follow/source.ts';
import type { Calls } from '#services/topology.ts';
import { judgeKeyList } from '#shared/dkim/list-proof.ts';
import type { SigningKey } from '#shared/keys/key.ts';

/** Where signing keys come from: the credential-stores, as `cluster/follow/source.ts` describes. */
export type KeySourceDeps = Pick<SourceDeps<SigningKey>, 'node' | 'alone' | 'neks'> & {
  credentials: Calls<'signer', 'credential-store'>;
};

export class KeySource extends StoreSource<SigningKey> {
  constructor({ credentials, ...deps }: KeySourceDeps) {
    super({
      ...deps,
      ask: async (request, options) => {
        const { keys, ...page } = await credentials['signing-key-list'](request, options);
        return { ...page, items: keys };
      },
      groupOf: ({ domain }) => domain,
      judge: (neks, { nonce }, { items, ...page }, macs) => judgeKeyList(neks, nonce, { ...page, keys: items }, macs),
      words: { items: 'keys', holder: 'the signer' },
    });
  }
}
