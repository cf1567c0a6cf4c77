import { execFile } from 'node:child_process';
import { join } from 'node:path';

/** A message for smtplib. `options` of MAIL, and those of each RCPT, as they are written there: `NOTIFY=NEVER`. */
export type Submitted = {
  from: string;
  options: string[];
  recipients: [address: string, options: string[]][];
  text: string;
};

/**
 * Submit messages with Python's smtplib, one after the other in a session without TLS; resolves to the codes of the replies to
 * the recipients of each. Rejects where one of them is not accepted.
 */
export function submit(port: number, login: { user: string; password: string }, messages: Submitted[]) {
  return new Promise<number[][]>((resolve, reject) => {
    const script = join(import.meta.dirname, 'submit.py');
    const child = execFile('python3', [script], (error, stdout, stderr) => {
      if (error === null) resolve(JSON.parse(stdout) as number[][]);
      else reject(new Error(stderr, { cause: error }));
    });
    child.stdin?.end(JSON.stringify({ port, ...login, messages }));
  });
}
