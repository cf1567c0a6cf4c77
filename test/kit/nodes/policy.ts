import { client, serve } from '#cluster/actor.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { type PolicyContract, policyContract } from '#services/policy/contract.ts';
import { createPolicyService } from '#services/policy/service.ts';
import type { Client } from '#shared/contract.ts';
import { type LogLine, logLines } from '#test/kit/log-lines.ts';

/** A policy service behind its contract, with what a test configures; its DNS is `server`. */
export async function startPolicy(server: string, input: Record<string, unknown>): Promise<PolicyUnderTest> {
  const settings = new Settings(ConfigSchema.parse({ ...input, dns: { servers: [server], timeout: '1s' } }));
  const { log, lines } = logLines();
  const bus = new LocalBus('edge-1');
  const service = createPolicyService({ settings, log });
  await service.start();
  serve(bus, service, log);
  return {
    policy: client(bus, policyContract),
    settings,
    lines,
    [Symbol.asyncDispose]: async () => {
      await bus.drain();
      await service.stop();
    },
  };
}

export type PolicyUnderTest = AsyncDisposable & {
  policy: Client<PolicyContract>;
  settings: Settings;
  lines: () => LogLine[];
};

/** `250`, or the reply of a refusal as a client sees it. */
export function said(verdict: {
  action: string;
  reply?: { code: number; enhanced?: string | undefined; text: string };
}) {
  const { reply } = verdict;
  return reply === undefined ? '250' : `${reply.code} ${reply.enhanced} ${reply.text}`;
}

/** A session of a stranger at a relay listener. */
export const STRANGER = {
  session: 's1',
  listener: 'in',
  kind: 'relay',
  scope: 'external',
  client: { address: '192.0.2.1', port: 1, name: null, helo: 'client.test' },
} as const;
