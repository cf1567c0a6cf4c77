import { type Config, ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { parseUsersFile } from '#cluster/config/users/users-file.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import { Directory } from '#services/policy/directory/directory.ts';
import { fileEntries } from '#services/policy/directory/file-entries.ts';
import { CheckSources } from '#services/policy/gathering/check-sources.ts';
import { ForcedTls } from '#services/policy/message/forced-tls.ts';
import { IncomingRules } from '#services/policy/message/incoming/incoming-rules.ts';
import { RelayRules } from '#services/policy/relay/relay-rules.ts';
import { Rewriting } from '#services/policy/rewrite/rewriting.ts';
import { silentLogger } from '#shared/log.ts';

/** The password `secret`, at the least cost that the format allows, so that tests spend no time on it. */
export const SECRET = '$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$QQCd8VPOryZiCF3MtwQnPTK7odKCaPcXJGplgNEuj1A';

export const USERS = `
users:
  - name: Alice
    password: ${SECRET}
    addresses: [alice@example.com, Al.Ice@example.com, "@lists.example.com"]
    on-behalf-of: [boss@example.com, "@help.test"]
  - name: bob@example.com
    password: ${SECRET}
    addresses: [bob@example.com, "jürgen@bücher.example"]
  - { name: news, password: "${SECRET}", addresses: ["*"] }
  - { name: nobody, password: "${SECRET}" }
aliases:
  sales@example.com: [alice@example.com, team@example.com, partner@example.net]
  team@example.com: [bob@example.com, alice@example.com]
  bob@example.com: [bob@example.com, archive@example.net]
  hostmaster@example.com: [sales@example.com]
`;

export function directory(yaml = USERS): Directory {
  return new Directory([fileEntries(parseUsersFile(yaml, 'users.yaml'))]);
}

export function config(input: Record<string, unknown> = {}): Config {
  return ConfigSchema.parse(input);
}

/** What the checks of a phase get from a configuration. */
export function rulesOf(given: Config) {
  return {
    ...{ rules: new RelayRules(given), rewriting: new Rewriting(given) },
    ...{ incoming: new IncomingRules(given), forcedTls: new ForcedTls(given) },
  };
}

/** What the checks of `checks:` are answered from. */
export function checksOf(from: Config): CheckSources {
  return new CheckSources({ settings: new Settings(from), log: silentLogger });
}

export function facts(changes: Partial<SessionFacts> = {}): SessionFacts {
  return {
    session: 'S1',
    listener: 'mx',
    kind: 'relay',
    client: { address: '192.0.2.7', name: 'mail.example.org', helo: 'mail.example.org' },
    scope: 'external',
    ...changes,
  };
}

/** Facts that no question had to be waited for. */
export function atOnce<T>(facts: T | Promise<T>): T {
  if (facts instanceof Promise) throw new Error('the facts had to be waited for');
  return facts;
}
