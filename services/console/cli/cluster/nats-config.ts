import { BUS_USERS, type BusUser, permissionsOf } from './bus-permissions.ts';

/** The users of the bus as nats-server (2.9 or newer) reads them in its configuration file. */

/** The first line, by which a file is known as made here. */
export const HEADLINE = '# The users of the Sealpost bus, made by "sealpost cluster nats-config".';

/**
 * Lines for every server. One that hangs keeps its routes, and the others go on choosing the clients behind it, until
 * their pings are unanswered: by default for minutes, with these lines for six seconds.
 */
export const SERVER_PINGS = `ping_interval: "2s"
ping_max: 2`;

/** The variable that stands for a user's password where none is given: `SEALPOST_BUS_CREDENTIAL_STORE`. */
export function passwordVariable(user: BusUser): string {
  return `SEALPOST_BUS_${user.toUpperCase().replaceAll('-', '_')}`;
}

const UPGRADING =
  '\n# UPGRADING: services may also do what those of the version before need, which is too much for safety.';

export type NatsUsers = {
  /** Of the users that there shall be; undefined: of all, from the environment of nats-server. */
  passwords: ReadonlyMap<BusUser, string> | undefined;
  /** Whether processes of the version before are to work too. */
  upgrading: boolean;
};

/** The block `authorization`. */
export function natsConfig({ passwords, upgrading }: NatsUsers): string {
  const users = BUS_USERS.filter((user) => passwords?.has(user) ?? true).map((user) => {
    const password = passwords?.get(user);
    const { publish, subscribe } = permissionsOf(user, { upgrading });
    return `    {
      user: ${quote(user)}
      password: ${password === undefined ? `$${passwordVariable(user)}` : quote(password)}
      permissions: {
        publish: ${list(publish)}
        subscribe: ${list(subscribe)}
      }
    }`;
  });
  const about =
    passwords === undefined
      ? '# Passwords, or their bcrypt hashes, come from the environment of nats-server.'
      : '# It holds passwords: only nats-server needs to read it.';
  return `${HEADLINE}
# Include it in the configuration of every server, and renew it with each new version of Sealpost: what a user may
# do follows from it. Change no names: a user's inbox (_INBOX_<user>) has its name.
${about}${upgrading ? UPGRADING : ''}
authorization {
  users: [
${users.join('\n')}
  ]
}
`;
}

function list(subjects: string[]): string {
  if (subjects.length === 0) return '[]';
  return `[\n${subjects.map((subject) => `          ${quote(subject)}`).join('\n')}\n        ]`;
}

const quote = (text: string): string => `"${text.replace(/[\\"]/g, '\\$&')}"`;
