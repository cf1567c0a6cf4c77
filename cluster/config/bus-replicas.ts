import type { Config } from './schema/schema.ts';

/** How many NATS servers keep a stream: three where three are named, unless the configuration says otherwise. */
export function busReplicas({ bus }: Config): number {
  return bus.replicas ?? (bus.servers.length >= 3 ? 3 : 1);
}
