import { domainOf } from '#shared/address/address.ts';
import { canonicalAddress } from '#shared/address/canonical-address.ts';
import type { SessionFacts } from '../contract.ts';
import type { AnyDirectory, AskDirectory } from '../directory/directory.ts';
import type { RelayRules } from '../relay/relay-rules.ts';
import type { Rewriting } from '../rewrite/rewriting.ts';
import { whenKnown } from './when-known.ts';

type SenderMailboxDeps = { ask: AskDirectory; rules: RelayRules; rewriting: Rewriting };

/**
 * The mailbox that mail to a rewritten reverse-path of ours ends in, the first of them; undefined where maps rewrite no
 * reverse-path, or where the directory does not know. Bounces of others find it through the directory; the router, which
 * asks no directory, sends its own notices there.
 */
export function senderMailbox(
  session: SessionFacts,
  reversePath: string,
  { ask, rules, rewriting }: SenderMailboxDeps,
): string | undefined | Promise<string | undefined> {
  if (reversePath === '' || !rewriting.rewrites('envelope-sender')) return undefined;
  if (session.user === undefined && rules.trustedHost(session) === undefined) return undefined;
  const address = rewriting.inLocalDomain(canonicalAddress(reversePath));
  if (!rules.isLocal(domainOf(address))) return undefined;
  return whenKnown(
    ask({ addresses: [address] }),
    (directory: AnyDirectory) => directory?.resolve(address)?.addresses[0],
  );
}
