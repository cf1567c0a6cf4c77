import { stringify } from 'yaml';
import { hashPassword } from '#cluster/config/users/password.ts';
import { PermittedSender, UserName, userKey } from '#shared/directory/values.ts';
import { type IniEntry, isTrue } from '../../import/haraka/folder.ts';
import { domainEntry } from '../entries.ts';
import { type Answer, already, none, problem, taken, toDo } from '../plan.ts';
import { answerIni, NOT_RUN, runs, type State } from './state.ts';

/**
 * auth_flat_file.ini: users with passwords in clear text, which become hashes in users.yaml. Haraka lets a user send as any
 * address of the domain in the user's name, and one without a domain as anybody; here the first may go on so, and the
 * second sends as addresses of the domains in host_list.
 */
export async function users(state: State): Promise<void> {
  const { folder, draft, files, advice } = state;
  const ini = await folder.ini('auth_flat_file.ini');
  if (!runs(state, 'auth/flat_file')) {
    if (folder.has('auth_flat_file.ini'))
      state.tell('auth_flat_file.ini', 'auth_flat_file.ini', NOT_RUN('auth/flat_file'));
    return;
  }
  const local = (await folder.lines('host_list')).flatMap(({ text }) => domainEntry(text) ?? []);
  const made = new Map<string, User>();
  const answers = new Map<IniEntry, Answer>();
  for (const entry of ini.entries.filter(({ section, key }) => section === 'users' && key !== ''))
    answers.set(entry, await userAnswer(entry, local, made));
  for (const [entry, answer] of answers) state.tell(entry.place, `[users] ${entry.key}=…`, answer);
  answerIni(
    state,
    ini,
    {
      'core.methods': ({ value }) =>
        /CRAM/i.test(value)
          ? toDo(
              'PLAIN and LOGIN, under TLS: CRAM-MD5 needs passwords in clear text, so clients that use it must be changed',
            )
          : already('PLAIN and LOGIN, under TLS'),
      'core.constrain_sender': ({ value }) =>
        isTrue(value)
          ? already('a user sends as addresses of the user’s own')
          : toDo('addresses: ["*"] of a user in users.yaml is for senders of any domain'),
    },
    ({ section }) => (section === 'users' ? undefined : none('is not known to this import')),
  );
  if (made.size === 0) return;
  draft.set('directory.users', './users.yaml');
  files.push({ path: 'users.yaml', text: stringify({ users: [...made.values()] }, { lineWidth: 0 }) });
  advice.push(
    'users.yaml has hashes of the passwords of auth_flat_file.ini, which is no longer needed then. It is local to its node: "sealpost directory import users.yaml" gives its content to a whole cluster.',
  );
}

type User = { name: string; password: string; addresses: string[] };

async function userAnswer(
  { key: name, value }: IniEntry,
  local: readonly string[],
  made: Map<string, User>,
): Promise<Answer> {
  if (!UserName.safeParse(name).success) return problem('is not the name of a user: not taken');
  if (value === '') return problem('has no password: not taken');
  if (made.has(userKey(name))) return problem('a line above has this name: not taken');
  const own = name.includes('@') ? [name] : local.map((domain) => `${name}@${domain}`);
  const domains = name.includes('@') ? [name.slice(name.lastIndexOf('@'))] : local.map((domain) => `@${domain}`);
  const addresses = [...own, ...domains].filter((address) => PermittedSender.safeParse(address).success);
  made.set(userKey(name), { name, password: await hashPassword(value), addresses });
  if (addresses.length === 0) return toDo('may send as nobody: give the user addresses in users.yaml');
  return taken(`sends as ${addresses.join(', ')}`, 'directory.users');
}
