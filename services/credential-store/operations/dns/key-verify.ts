import { errorText } from '#shared/errors.ts';
import type { DnsView } from '#shared/keys/key-status.ts';
import { expectedOf } from '../../dns/views.ts';
import { createNodeEffects } from '../../driver/node-effects.ts';
import { findKey, type Operation } from '../deps.ts';
import { keyInfo } from '../key-status.ts';

/** A key's record in DNS as this node sees it, and the key from every live node. */

export const recordResolve: Operation<'record-resolve'> = ({ records, views }, { expected, ...name }) => {
  const { domain, key } = findKey(records, name);
  return views.look(domain, key, expected);
};

/** What DNS says as each store sees it, and whether each signer can sign with the key. */
export const keyVerify: Operation<'key-verify'> = async (deps, name) => {
  const { domain, key } = findKey(deps.records, name);
  const effects = createNodeEffects(deps);
  const live = deps.presence.live();
  const nodesOf = (kind: string): string[] => [...new Set(live.filter((h) => h.kind === kind).map((h) => h.node))];
  const looks = key.publication.by === 'none' ? [] : nodesOf('credential-store');
  const views = looks.map(async (node): Promise<DnsView> => {
    try {
      return await effects.look(node, domain, key, expectedOf(key));
    } catch (error) {
      const summary = `${node} cannot be asked: ${errorText(error)}`;
      return { node, verdict: 'error', summary, servers: [], at: Date.now() };
    }
  });
  const proofs = (key.wrapped === undefined ? [] : nodesOf('signer')).map(async (node) => {
    try {
      await effects.prove(node, domain, key);
      return [];
    } catch (error) {
      return [{ node, reason: errorText(error) }];
    }
  });
  return {
    key: keyInfo(domain, key),
    views: await Promise.all(views),
    unproven: (await Promise.all(proofs)).flat(),
  };
};
