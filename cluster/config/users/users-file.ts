import { z } from 'zod';
import { canonicalAddress, mailboxKey } from '#shared/address/canonical-address.ts';
import type { Block } from '#shared/directory/entries.ts';
import { AppPassword, BlockRecord, GroupRecord, MapRecord, MOST_APP_PASSWORDS } from '#shared/directory/records.ts';
import { isMailbox, MailAddress, PermittedSender, UserName, userKey } from '#shared/directory/values.ts';
import { SealpostError } from '#shared/errors.ts';
import { explainIssue } from '../problems/messages.ts';
import { formatProblem, type Problem } from '../problems/problem.ts';
import { parseYaml } from '../problems/yaml.ts';
import { expandAlias } from './aliases.ts';
import { parsePasswordHash } from './password.ts';

/**
 * The users file: users, their addresses, and aliases.
 *
 *   users:
 *     - name: alice                    # the login name; case does not count
 *       password: $argon2id$…          # `sealpost users` makes it
 *       addresses: [alice@example.com, "@lists.example.com"]
 *       on-behalf-of: [ceo@example.com]   # whom she may write for, as Sender
 *       app-passwords:
 *         - { name: phone, tag: abcd, password: $argon2id$…, networks: [192.0.2.0/24] }   # directory export writes them
 *   aliases:
 *     sales@example.com: [alice@example.com, partner@example.net]
 *   groups:
 *     staff: { addresses: [staff@example.com], members: [alice, other-group, guest@example.net] }
 *   maps:
 *     canonical: { old@example.com: new@example.com }
 *   blocked:
 *     mallory: { reason: left in May, since: 2026-05-31T12:00:00Z }   # logs in nowhere, whatever source knows the name
 *
 * A full address is both a mailbox of the user and a sender that the user may use. `@domain` (exactly that domain) and
 * `*` only widen what the user may send as. `on-behalf-of` names authors, in the same forms, for whom the user may send
 * mail with the user's own address as Sender (RFC 5322 §3.6.2): a secretary, a service for several departments. An
 * alias leads to mailboxes, to other aliases, or away; one that stands for a user's own address redirects it, and keeps
 * a copy where it names that address again.
 */
// Its own text for a wrong type too: a clear-text password must not be repeated in a log.
const passwordHash = z.string('is not a password hash: set it with "sealpost users"').transform((text, context) => {
  const hash = parsePasswordHash(text);
  if (hash !== undefined) return hash;
  context.addIssue({
    code: 'custom',
    message: 'is not an argon2id hash ($argon2id$v=19$…): set it with "sealpost users"',
  });
  return z.NEVER;
});

const user = z.strictObject({
  name: UserName,
  password: passwordHash,
  addresses: z.array(PermittedSender).default([]),
  'on-behalf-of': z.array(PermittedSender).default([]),
  'app-passwords': z
    .array(
      z.strictObject({
        ...AppPassword.pick({ name: true, tag: true }).shape,
        networks: AppPassword.shape.networks.default([]),
        password: passwordHash,
        created: z.iso.datetime().optional(),
        'last-used': z.iso.date().optional(),
      }),
    )
    .max(MOST_APP_PASSWORDS)
    .default([]),
});

const UsersFile = z.strictObject({
  users: z.array(user).default([]),
  aliases: z.record(z.string(), z.array(MailAddress).min(1)).default({}),
  groups: z
    .record(
      UserName,
      z.strictObject({
        addresses: GroupRecord.shape.addresses.default([]),
        members: GroupRecord.shape.members.default([]),
      }),
    )
    .default({}),
  maps: z.record(UserName, MapRecord.shape.entries).default({}),
  blocked: z
    .record(UserName, z.strictObject({ reason: BlockRecord.shape.reason, since: z.iso.datetime().optional() }))
    .default({}),
});
export type User = z.output<typeof user>;

/** A checked users file. Alias names are in canonical form, in the order of the file. */
export type Users = Pick<z.output<typeof UsersFile>, 'users' | 'groups' | 'maps'> & {
  aliases: Map<string, string[]>;
  /** `since` is absent where the file does not say it. */
  blocked: (Omit<Block, 'since'> & { since?: number | undefined })[];
};

/** Check the text of a users file. Throws `invalid` with every problem on a line of its own, each with its place. */
export function parseUsersFile(text: string, file: string): Users {
  const yaml = parseYaml(text);
  if (yaml.problems.length > 0) throw invalid(file, yaml.problems);
  const parsed = UsersFile.safeParse(yaml.data, { reportInput: true });
  const problems = parsed.success
    ? [...doubleUsers(parsed.data.users), ...aliasProblems(Object.entries(parsed.data.aliases))]
    : parsed.error.issues.flatMap((issue) => explainIssue(issue, UsersFile));
  if (!parsed.success || problems.length > 0) {
    throw invalid(
      file,
      problems.map((problem) => ({ ...problem, line: yaml.lineOf(problem.path) })),
    );
  }
  const aliases = Object.entries(parsed.data.aliases).map(
    ([name, targets]) => [canonicalAddress(name), targets] as const,
  );
  const { users, groups, maps } = parsed.data;
  const blocked = Object.entries(parsed.data.blocked).map(([name, { reason, since }]) => ({
    ...{ name, reason, since: since === undefined ? undefined : Date.parse(since) },
  }));
  return { users, aliases: new Map(aliases), groups, maps, blocked };
}

function doubleUsers(users: User[]): Problem[] {
  const first = new Map<string, number>();
  for (const [i, { name }] of users.entries()) if (!first.has(userKey(name))) first.set(userKey(name), i);
  return users.flatMap(({ name }, i) =>
    first.get(userKey(name)) === i
      ? []
      : [{ path: ['users', i, 'name'], message: `there is a user "${name}" already; case does not count` }],
  );
}

/** Aliases that are not addresses, occur twice, or lead nowhere or to too many. */
function aliasProblems(aliases: [string, string[]][]): Problem[] {
  const problems: Problem[] = [];
  const byKey = new Map<string, string[]>();
  for (const [name, targets] of aliases) {
    const key = mailboxKey(canonicalAddress(name));
    const complain = (message: string) => problems.push({ path: ['aliases', name], message });
    if (!isMailbox(name)) complain(`"${name}" is not a mail address`);
    else if (byKey.has(key)) complain(`there is an alias "${name}" already; case does not count`);
    byKey.set(key, targets);
  }
  for (const [name] of aliases) {
    const expanded = expandAlias(mailboxKey(canonicalAddress(name)), byKey);
    if (!expanded.ok) problems.push({ path: ['aliases', name], message: expanded.message });
  }
  return problems;
}

/** An unquoted hash between braces falls apart at its commas into keys, which a message must not repeat. */
function redact(text: string): string {
  return text.replace(/\$[A-Za-z0-9+/]{8,}/g, '$…');
}

function invalid(file: string, problems: Problem[]): SealpostError {
  const sorted = problems.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
  return new SealpostError('invalid', sorted.map((problem) => redact(formatProblem(file, problem))).join('\n'));
}
