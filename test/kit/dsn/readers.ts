import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** Notices as programs read them that we did not write. */

/** What Python's email package finds. `groups`: the fields of the message, then those of each recipient. */
export type ReadByPython = {
  type: string;
  report: string;
  defects: string[];
  subject: string;
  to: string;
  language: string;
  text: string;
  parts: string[];
  groups: Record<string, string>[];
};

/** What Mail::DeliveryStatus::BounceParser finds. `type`: of what is not a bounce. */
export type ReadByBounceParser = {
  bounce: boolean;
  type: string | null;
  message: string;
  reports: { email: string; std_reason: string; smtp_code: string; reason: string; Status: string }[];
};

export function readWithPython(notices: readonly Buffer[]): ReadByPython[] {
  return read('python3', 'read-with-email.py', notices) as ReadByPython[];
}

export function readWithBounceParser(notices: readonly Buffer[]): ReadByBounceParser[] {
  return read('perl', 'read-with-bounce-parser.pl', notices) as ReadByBounceParser[];
}

function read(program: string, script: string, notices: readonly Buffer[]): unknown {
  const input = JSON.stringify(notices.map((notice) => notice.toString('base64')));
  const { status, stdout, stderr } = spawnSync(program, [join(import.meta.dirname, script)], { input });
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
  return JSON.parse(stdout.toString());
}
