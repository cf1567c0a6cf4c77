import type { RatesConfig } from '#cluster/config/schema/schema.ts';
import { nearest } from '#shared/address/domains.ts';
import { formatRate, perSecond } from '#shared/units.ts';

/** The limits of `rates.destinations`, by recipient domain. */

export type DestinationLimit = RatesConfig['destinations'][number];

/**
 * The limit for a domain (normalized), and the key under which it is counted: the domain that the limit is for, where
 * everything below it counts together, or with `*` the domain itself. The most specific `to` wins. The key is a domain
 * whose limit is the same one.
 */
export function limitFor(
  limits: readonly DestinationLimit[],
  domain: string,
): { key: string; limit: DestinationLimit } | undefined {
  const limitOf = (to: string): DestinationLimit | undefined => limits.find((limit) => limit.to === to);
  const limit = nearest(domain, limitOf) ?? limitOf('*');
  return limit && { key: limit.to === '*' ? domain : limit.to, limit };
}

/** How many of a destination's connections a share of its limit is: at least one, where it is any. */
export function connectionsOf({ connections }: DestinationLimit, share: number): number | undefined {
  if (connections === undefined) return undefined;
  return share <= 0 ? 0 : Math.max(1, Math.floor(connections * share + 0.01));
}

/** Seconds of its limit's messages that a destination has in memory; the rest waits on disk. */
const AHEAD_S = 2;
const LEAST_AHEAD = 10;
const MOST_AHEAD = 2000;

/** How many messages for a destination may be in memory. */
export function window({ messages, connections }: DestinationLimit): number {
  const paced = messages === undefined ? 0 : perSecond(messages) * AHEAD_S;
  return Math.min(MOST_AHEAD, Math.ceil(Math.max(LEAST_AHEAD, paced, (connections ?? 0) * AHEAD_S)));
}

/** A limit and this node's share of it, for people: `example.net: 50/s, 16.7/s on this node`. */
export function describeLimit(key: string, limit: DestinationLimit, share: number): string {
  const { messages, connections } = limit;
  const parts = [
    ...(messages === undefined
      ? []
      : [
          `${formatRate(messages)}, ${tidy(messages.count * share)}/${formatRate(messages).split('/')[1]} on this node`,
        ]),
    ...(connections === undefined ? [] : [`${connections} concurrent, ${connectionsOf(limit, share)} on this node`]),
  ];
  return `${key}: ${parts.join('; ')}`;
}

function tidy(count: number): string {
  return count >= 100 ? String(Math.round(count)) : String(Number(count.toPrecision(3)));
}
