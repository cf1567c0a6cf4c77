import type { Config } from '#cluster/config/schema/schema.ts';
import type { SessionFacts } from '../contract.ts';
import type { AskDirectory } from '../directory/directory.ts';
import type { PolicyFacts } from '../facts.ts';
import { whenKnown } from './when-known.ts';

type SenderRequest = { facts: SessionFacts; reversePath: string; size?: number | undefined };
type SenderDeps = Pick<PolicyFacts['sender'], 'anonymous'> & { ask: AskDirectory; config: Pick<Config, 'limits'> };

export function senderFacts(
  { facts: session, reversePath, size }: SenderRequest,
  { ask, anonymous, config: { limits } }: SenderDeps,
): PolicyFacts['sender'] | Promise<PolicyFacts['sender']> {
  const users = session.user === undefined ? [] : [session.user];
  return whenKnown(ask({ users }), (directory) => ({ session, reversePath, size, limits, anonymous, directory }));
}
