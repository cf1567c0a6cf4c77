import { groupProblems } from '../groups.ts';
import type { Problem } from '../problems/problem.ts';
import type { Config } from '../schema/schema.ts';
import type { Rule } from './rule.ts';

function relayLists({ relay }: Config): Problem[] {
  return (['hosts', 'domains'] as const).flatMap((list) =>
    relay.deny[list].flatMap((entry, i) =>
      relay.allow[list].includes(entry)
        ? [{ path: ['relay', 'deny', list, i], message: `"${entry}" is listed in relay.allow.${list} too: keep one` }]
        : [],
    ),
  );
}

/** `*` in these lists would be an open relay by another name. */
function everybody({ relay }: Config): Problem[] {
  const lists: [PropertyKey[], string[]][] = [
    [['relay', 'internal', 'hosts'], relay.internal.hosts],
    [['relay', 'exclude'], relay.exclude],
  ];
  return lists.flatMap(([path, entries]) =>
    entries.flatMap((entry, i) =>
      entry === '*'
        ? [{ path: [...path, i], message: '"*" would be everybody: for an open relay, set relay.scope: none' }]
        : [],
    ),
  );
}

export const RELAY_RULES: readonly Rule[] = [
  { sections: ['relay'], check: relayLists },
  { sections: ['relay'], check: everybody },
  { sections: ['groups'], check: groupProblems },
];

/** What is allowed, and is hardly meant. `relay` is without groups. */
export function relayWarnings({ relay }: Pick<Config, 'relay'>): string[] {
  const warnings: string[] = [];
  const open = openedBy(relay);
  if (open !== undefined) {
    warnings.push(
      `${open}: this server is an OPEN RELAY, anybody on the net who reaches it may send mail to anywhere through it, and its address will be on block lists within days`,
    );
  }
  const { scope, internal } = relay;
  const none = internal.hosts.length === 0 && !internal.names;
  if (scope === 'external' && none) {
    warnings.push(
      'relay.scope is external, but no host is internal, so the relay rules hold for all: set relay.internal.hosts or relay.internal.names',
    );
  }
  return warnings;
}

/** Certificates that no listener asks for. */
export function certificateWarnings({ listeners, relay }: Pick<Config, 'listeners' | 'relay'>): string[] {
  const isAsked = listeners.some((listener) => listener['client-certificates'] !== undefined);
  // Without listeners this is the configuration of another service of the cluster.
  if (relay.allow.certificates.length === 0 || listeners.length === 0 || isAsked) return [];
  return [
    'relay.allow.certificates is set, but no listener asks clients for a certificate: set client-certificates of a listener',
  ];
}

/** Whoever is a proxy may say to be any host. */
export function proxyWarnings({ listeners }: Pick<Config, 'listeners'>): string[] {
  return listeners.flatMap(({ name, proxy }) => {
    const entry = wholeNetwork(proxy);
    const what = `proxy of listener ${name} has ${entry}: anybody may say by a PROXY header to be any host`;
    return entry === undefined ? [] : [`${what}, also one that may relay; name the addresses of your proxies`];
  });
}

/** An entry that is every address. */
function wholeNetwork(hosts: readonly string[]): string | undefined {
  return hosts.find((entry) => /^[^/]+\/0$/.test(entry));
}

/** The option that lets anybody relay to anywhere; undefined: none does. */
export function openedBy({ scope, internal, exclude, precedence, allow, deny }: Config['relay']): string | undefined {
  if (scope === 'none') return 'relay.scope is none';
  const lists: [string, readonly string[]][] = [
    ['relay.exclude', exclude],
    ['relay.internal.hosts', scope === 'external' ? internal.hosts : []],
    ['relay.allow.hosts', allow.hosts],
  ];
  for (const [name, hosts] of lists) {
    const entry = wholeNetwork(hosts);
    if (entry !== undefined) return `${name} has ${entry}`;
  }
  // `*` of a deny list takes back `*` of an allow list, unless allow wins.
  if (precedence === 'deny' && (deny.hosts.includes('*') || deny.domains.includes('*'))) return undefined;
  if (allow.hosts.includes('*')) return 'relay.allow.hosts has *';
  return allow.domains.includes('*') ? 'relay.allow.domains has *' : undefined;
}
