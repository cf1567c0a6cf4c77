import { isIP } from 'node:net';
import type { Problem } from '../problems/problem.ts';
import type { Config, ListenerConfig } from '../schema/schema.ts';
import { AUTHENTICATION_RULES } from './authentication.ts';
import { AUTHENTICITY_RULES } from './authenticity.ts';
import { CERTIFICATE_RULES } from './certificates.ts';
import { CHECK_RULES } from './checks.ts';
import { DNS_RULES } from './dns.ts';
import { FILTER_RULES } from './filters.ts';
import { KEY_RULES } from './keys.ts';
import { LDAP_RULES } from './ldap.ts';
import { RATE_RULES } from './rates.ts';
import { RELAY_RULES } from './relay.ts';
import { REWRITE_RULES } from './rewrite.ts';
import { ROUTE_RULES } from './routes.ts';
import { duplicates, type Rule } from './rule.ts';
import { CONSOLE_RULES } from './servers/console.ts';
import { METRICS_RULES } from './servers/metrics.ts';
import { MTA_STS_RULES } from './servers/mta-sts.ts';
import { TLS_RULES } from './tls.ts';
import { WEBHOOK_RULES } from './webhooks.ts';

/** AUTH of a listener: as written, else off for relay and under TLS for submission. */
export function effectiveAuth(listener: ListenerConfig): 'off' | 'tls' | 'always' {
  return listener.auth ?? (listener.kind === 'submission' ? 'tls' : 'off');
}

function listenerAuth({ listeners }: Config): Problem[] {
  return listeners.flatMap((listener, i): Problem[] => {
    const auth = effectiveAuth(listener);
    const path = ['listeners', i, listener.auth === undefined ? 'tls' : 'auth'];
    if (listener.kind === 'submission' && auth === 'off') {
      return [{ path, message: 'submission is for users, who must authenticate: auth: off would refuse everybody' }];
    }
    return auth === 'tls' && listener.tls === 'none'
      ? [{ path, message: 'auth: tls offers AUTH under TLS only, but tls: none has no TLS: nobody could log in' }]
      : [];
  });
}

/** What a listener asks of clients that it cannot ask, or asks of all of them already. */
function listenerDemands({ listeners }: Config): Problem[] {
  return listeners.flatMap(({ tls, ...listener }, i): Problem[] => {
    const at = (option: 'require-tls' | 'client-certificates', message: string): Problem => ({
      path: ['listeners', i, option],
      message,
    });
    const certificates = tls === 'none' && listener['client-certificates'] !== undefined;
    const problems = certificates
      ? [at('client-certificates', 'certificates come with TLS, and tls: none has no TLS: set tls: starttls')]
      : [];
    if (listener['require-tls'].length === 0 || tls === 'starttls') return problems;
    const message =
      tls === 'none'
        ? 'tls: none has no TLS, so these clients could send no mail at all: set tls: starttls'
        : `tls: ${tls} requires TLS of all clients already: remove require-tls`;
    return [...problems, at('require-tls', message)];
  });
}

/** Two listeners on one port clash when one of them listens on every address. */
function listenerPorts({ listeners }: Config): Problem[] {
  const clash = (a: string, b: string): boolean =>
    a === b || a === '::' || b === '::' || (isIP(a) === isIP(b) && (a === '0.0.0.0' || b === '0.0.0.0'));
  return listeners.flatMap((listener, i) => {
    const other = listeners
      .slice(0, i)
      .find((o) => o.port !== 0 && o.port === listener.port && clash(o.address, listener.address));
    return other === undefined
      ? []
      : [{ path: ['listeners', i, 'port'], message: `port ${listener.port} is taken by listener "${other.name}"` }];
  });
}

function submissionUsers({ listeners, directory, credentials, bus }: Config): Problem[] {
  const first = listeners.findIndex((l) => effectiveAuth(l) !== 'off');
  // With a NEK, users can be added to the cluster's directory while the node runs.
  const canHave = directory.users !== undefined || directory.ldap !== undefined || credentials.nek !== undefined;
  // Over NATS the policy service may run elsewhere, with a directory of its own.
  if (first < 0 || canHave || bus.servers.length > 0) return [];
  return [
    {
      path: ['listeners', first],
      message:
        "this listener authenticates users, but there are none: add directory: { users: ./users.yaml }, or credentials: { nek: … } for users of the cluster's directory",
    },
  ];
}

function signAs({ domains }: Config): Problem[] {
  return domains.flatMap((entry, i): Problem[] => {
    const target = entry['sign-as'];
    if (target === undefined) return [];
    const path = ['domains', i, 'sign-as'];
    if (target === entry.name) return [{ path, message: `${target} signs as itself already: remove sign-as` }];
    const other = domains.find((d) => d.name === target);
    if (other === undefined) return [{ path, message: `${target} is not in domains: add { name: ${target} }` }];
    if (other['sign-as'] !== undefined) {
      return [{ path, message: `${target} has a sign-as of its own: name the last domain, ${other['sign-as']}, here` }];
    }
    return other.signing.mode === 'off'
      ? [{ path, message: `${target} is never signed (signing: { mode: off }), so ${entry.name} could not be` }]
      : [];
  });
}

function enforceNeedsNek({ domains, credentials, bus }: Config): Problem[] {
  // Over NATS the signer may run elsewhere; it says itself when its key is missing.
  if (credentials.nek !== undefined || bus.servers.length > 0) return [];
  return domains.flatMap((entry, i) =>
    entry.signing.mode === 'enforce'
      ? [
          {
            path: ['domains', i, 'signing', 'mode'],
            message: 'enforce would keep all mail, because there is no key to sign with: add credentials: { nek: … }',
          },
        ]
      : [],
  );
}

function busLogin({ bus }: Config): Problem[] {
  const problems: Problem[] = [];
  if (bus.password !== undefined && bus.user === undefined) {
    problems.push({ path: ['bus', 'password'], message: 'a password needs a user: add bus.user' });
  }
  if (bus.user !== undefined && bus.password === undefined) {
    const user = typeof bus.user === 'string' ? `user ${bus.user}` : 'a user';
    problems.push({ path: ['bus', 'user'], message: `${user} needs a password: add bus.password` });
  }
  if ((bus.tls?.certificate === undefined) !== (bus.tls?.key === undefined)) {
    problems.push({ path: ['bus', 'tls'], message: 'certificate and key belong together: give both or none' });
  }
  if (bus.servers.length === 0 && (bus.user !== undefined || bus.tls !== undefined)) {
    problems.push({ path: ['bus'], message: 'there is a login but no server: add bus.servers' });
  }
  return problems;
}

function queueTimes({ queue }: Config): Problem[] {
  const problems: Problem[] = [];
  if (queue.retry.first > queue.retry.max) {
    problems.push({ path: ['queue', 'retry', 'first'], message: 'must not be longer than queue.retry.max' });
  }
  if (queue.retry.first > queue.expire) {
    problems.push({
      path: ['queue', 'expire'],
      message: 'mail would expire before its second attempt (queue.retry.first)',
    });
  }
  return problems;
}

function postmasterKnown({ dsn }: Config): Problem[] {
  const message = 'needs dsn.postmaster, the address of the mailbox that these notices go to';
  const needing = dsn.postmaster === undefined ? (['copies', 'null-reverse-path'] as const) : [];
  return needing.flatMap((option) =>
    dsn[option] === 'failures' || dsn[option] === 'postmaster' ? [{ path: ['dsn', option], message }] : [],
  );
}

/** Policy and signer get the header block in one bus message; NATS carries 1 MB, which the recipients share. */
const LARGEST_HEADER_ON_BUS = 384 * 1024;

function headerFitsBus({ limits, bus }: Config): Problem[] {
  return bus.servers.length > 0 && limits['header-size'] > LARGEST_HEADER_ON_BUS
    ? [
        {
          path: ['limits', 'header-size'],
          message: 'must not be larger than 384KB with bus.servers: NATS carries no more',
        },
      ]
    : [];
}

function copiesNeedBus({ queue, bus }: Config): Problem[] {
  return queue.copies === 2 && bus.servers.length === 0
    ? [{ path: ['queue', 'copies'], message: 'the second copy goes to another node: name NATS servers in bus.servers' }]
    : [];
}

function headerFits({ limits }: Config): Problem[] {
  return limits['header-size'] > limits['message-size']
    ? [{ path: ['limits', 'header-size'], message: 'must not be larger than limits.message-size' }]
    : [];
}

export const RULES: readonly Rule[] = [
  {
    sections: ['listeners'],
    check: ({ listeners }) =>
      duplicates(
        listeners.map((l) => l.name),
        (i) => ['listeners', i, 'name'],
        'listener name',
      ),
  },
  { sections: ['listeners'], check: listenerPorts },
  { sections: ['listeners'], check: listenerAuth },
  { sections: ['listeners'], check: listenerDemands },
  ...TLS_RULES,
  ...CERTIFICATE_RULES,
  { sections: ['listeners', 'directory', 'bus'], check: submissionUsers },
  {
    sections: ['domains'],
    check: ({ domains }) =>
      duplicates(
        domains.map((d) => d.name),
        (i) => ['domains', i, 'name'],
        'domain',
      ),
  },
  {
    sections: ['authentication'],
    check: ({ authentication }) =>
      duplicates(
        authentication.oauth.map(({ issuer }) => issuer),
        (i) => ['authentication', 'oauth', i, 'issuer'],
        'provider',
      ),
  },
  { sections: ['domains'], check: signAs },
  { sections: ['domains', 'credentials', 'bus'], check: enforceNeedsNek },
  ...ROUTE_RULES,
  { sections: ['bus'], check: busLogin },
  { sections: ['queue'], check: queueTimes },
  { sections: ['dsn'], check: postmasterKnown },
  { sections: ['queue', 'bus'], check: copiesNeedBus },
  { sections: ['limits'], check: headerFits },
  { sections: ['limits', 'bus'], check: headerFitsBus },
  ...AUTHENTICATION_RULES,
  ...AUTHENTICITY_RULES,
  ...LDAP_RULES,
  ...RELAY_RULES,
  ...CHECK_RULES,
  ...DNS_RULES,
  ...KEY_RULES,
  ...METRICS_RULES,
  ...CONSOLE_RULES,
  ...MTA_STS_RULES,
  ...RATE_RULES,
  ...REWRITE_RULES,
  ...FILTER_RULES,
  ...WEBHOOK_RULES,
];
