import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Program } from '#test/kit/program.ts';

/**
 * Postfix in a folder of its own: it takes mail on `port` of 127.0.0.1, and otherwise does as `settings` says, lines of
 * main.cf. Its log is `folder`/log. It starts as root only.
 */
export async function startPostfix(folder: string, port: number, settings: string): Promise<Program> {
  const user = (await readFile('/etc/passwd', 'utf8')).split('\n').find((line) => line.startsWith('postfix:'));
  const [uid, gid] = (user ?? '').split(':').slice(2, 4).map(Number);
  // Its daemons run as another user.
  await chmod(folder, 0o755);
  for (const name of ['queue', 'data']) await mkdir(join(folder, name));
  await chown(join(folder, 'data'), uid ?? 0, gid ?? 0);
  await writeFile(
    join(folder, 'main.cf'),
    `compatibility_level = 3.6
queue_directory = ${folder}/queue
data_directory = ${folder}/data
maillog_file = ${folder}/log
maillog_file_prefixes = ${folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
${settings}`,
  );
  await writeFile(
    join(folder, 'master.cf'),
    `127.0.0.1:${port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`,
  );
  // Makes the folders of the queue with the owners that Postfix wants.
  await using check = new Program('postfix', ['-c', folder, 'check']);
  if ((await check.ended()) !== 0) throw new Error(check.output);
  return runPostfix(folder);
}

/** The Postfix that was set up in a folder, and ran before. */
export function runPostfix(folder: string): Program {
  // It ends its daemons by the group of processes that it leads.
  return new Program('/usr/lib/postfix/sbin/master', ['-c', folder, '-d'], { within: ['setsid'] });
}
