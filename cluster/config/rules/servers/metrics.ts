import { parseIp } from '#shared/address/ip-address.ts';
import type { Problem } from '../../problems/problem.ts';
import type { Config } from '../../schema/schema.ts';
import type { Rule } from '../rule.ts';

/** Rules of metrics. */

function openMetrics({ metrics }: Config): Problem[] {
  if (metrics === undefined || metrics.token !== undefined) return [];
  if (parseIp(metrics.address)?.range() === 'loopback') return [];
  const message = `others reach ${metrics.address}: add metrics.token, which a client has to show, or use 127.0.0.1`;
  return [{ path: ['metrics', 'token'], message }];
}

export const METRICS_RULES: readonly Rule[] = [{ sections: ['metrics'], check: openMetrics }];
