/** Reads what strace wrote of a process: `strace -f -xx -s <enough> -o <file>`. */

/** A system call that succeeded: its arguments as strace shows them, strings as bytes. */
export type Call = { name: string; args: (string | Buffer)[]; result: number };

/** Other threads work between the begin of a call and its end. */
export type Step = { at: 'begin' | 'end'; call: Call };

export function parseTrace(text: string): Step[] {
  const steps: Step[] = [];
  const unfinished = new Map<string, { line: string; step: number }>();
  for (const whole of text.split('\n')) {
    const [, thread = '', line = ''] = /^(\d+) +(.*)$/.exec(whole) ?? [];
    const cut = /^(.*?) ?<unfinished \.\.\.>$/.exec(line);
    if (cut?.[1] !== undefined) {
      unfinished.set(thread, { line: cut[1], step: steps.length });
      continue;
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(line);
    const begun = resumed === null ? undefined : unfinished.get(thread);
    const call = parseCall(begun === undefined ? line : begun.line + (resumed?.[1] ?? ''));
    if (call === undefined) continue;
    const begin: Step = { at: 'begin', call };
    if (begun === undefined) steps.push(begin);
    else {
      steps.splice(begun.step, 0, begin);
      for (const other of unfinished.values()) if (other.step > begun.step) other.step++;
      unfinished.delete(thread);
    }
    steps.push({ at: 'end', call });
  }
  return steps;
}

function parseCall(line: string): Call | undefined {
  const match = /^(\w+)\((.*)\) += (\d+)/s.exec(line);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  const args = match[2].split(', ').map((arg) => {
    const hex = /^"((?:\\x[0-9a-f]{2})*)"$/.exec(arg)?.[1];
    return hex === undefined ? arg : Buffer.from(hex.replaceAll('\\x', ''), 'hex');
  });
  return { name: match[1], args, result: Number(match[3]) };
}
