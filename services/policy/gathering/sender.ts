import type { Config } from '#cluster/config/schema/schema.ts';
import type { SessionFacts } from '../contract.ts';
import type { PolicyFacts } from '../facts.ts';

type SenderRequest = { facts: SessionFacts; reversePath: string; size?: number | undefined };
type SenderDeps = Pick<PolicyFacts['sender'], 'directory'> & { config: Pick<Config, 'limits'> };

export function senderFacts(
  { facts: session, reversePath, size }: SenderRequest,
  { directory, config }: SenderDeps,
): PolicyFacts['sender'] {
  return { session, reversePath, size, limits: config.limits, directory };
}
