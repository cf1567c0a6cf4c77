import { formatRate, perSecond } from '#shared/units.ts';
import type { Problem } from '../problems/problem.ts';
import type { Config } from '../schema/schema.ts';
import type { Rule } from './rule.ts';

/** Combinations that make no sense in the section `authentication`. */

/** One network that guesses must not be able to lock a user out of all others. */
function userLimit({ authentication: { limits } }: Config): Problem[] {
  const { user, 'user-from-network': fromNetwork } = limits;
  if (perSecond(user) > perSecond(fromNetwork)) return [];
  const message = `${formatRate(user)} is reached from one network alone (user-from-network: ${formatRate(fromNetwork)}), which would lock the user out everywhere: allow more`;
  return [{ path: ['authentication', 'limits', 'user'], message }];
}

function anonymousHosts({ authentication: { anonymous } }: Config): Problem[] {
  const message =
    'with "*" nobody would have to log in on a submission listener: name the hosts, or make it kind: relay';
  return anonymous.flatMap((host, i) => (host === '*' ? [{ path: ['authentication', 'anonymous', i], message }] : []));
}

export const AUTHENTICATION_RULES: readonly Rule[] = [
  { sections: ['authentication'], check: userLimit },
  { sections: ['authentication'], check: anonymousHosts },
];
