import { BUS_USERS, type BusUser, type Permissions, permissionsOf } from './bus-permissions.ts';

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

/** The block `authorization`: of the users in `passwords`; or of all, with passwords from the environment of nats-server. */
export function natsConfig(passwords?: ReadonlyMap<BusUser, string>): string {
  const users = BUS_USERS.filter((user) => passwords?.has(user) ?? true).map((user) => {
    const password = passwords?.get(user);
    return userBlock(user, password === undefined ? `$${passwordVariable(user)}` : quote(password));
  });
  const about =
    passwords === undefined
      ? '# Passwords, or their bcrypt hashes, come from the environment of nats-server.'
      : '# It holds passwords: only nats-server needs to read it.';
  return `${HEADLINE}
# Include it in the configuration of every server, and renew it with each new version of Sealpost: what a user may
# do follows from it. Change no names: a user's inbox (_INBOX_<user>) has its name.
${about}
authorization {
  users: [
${users.join('\n')}
  ]
}
`;
}

function userBlock(user: BusUser, password: string): string {
  const { publish, subscribe, responses } = permissionsOf(user);
  return `    {
      user: ${quote(user)}
      password: ${password}
      permissions: {
        publish: ${list(publish)}
        subscribe: ${list(subscribe)}${responsesLine(responses)}
      }
    }`;
}

function list(subjects: string[]): string {
  if (subjects.length === 0) return '[]';
  return `[\n${subjects.map((subject) => `          ${quote(subject)}`).join('\n')}\n        ]`;
}

function responsesLine(ms: Permissions['responses']): string {
  return ms === undefined ? '' : `\n        allow_responses: { max: 1, expires: "${Math.ceil(ms / 1000)}s" }`;
}

const quote = (text: string): string => `"${text.replace(/[\\"]/g, '\\$&')}"`;
