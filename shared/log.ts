import pino from 'pino';
import { humanLine } from './log-line.ts';
import { LogOutput, openOutput } from './log-output.ts';
import { escapeJson } from './text.ts';

export type Logger = pino.Logger;

export type LogOptions = { level: string };

/** The standard output of this process as its log. */
export type ProcessLog = { log: Logger; output: LogOutput };

/**
 * The process's logger: one JSON object a line on standard output; on a terminal, one line for people.
 * Field names are fixed so that one grep finds a mail: `session`, `queueId`, `trace`, `peer`, `domain`.
 */
export function createLogger({ level }: LogOptions): ProcessLog {
  const output = new LogOutput(openOutput(), ({ lines, error }) =>
    log.error({ dropped: lines, error }, 'log lines were dropped: the log could not be written'),
  );
  process.once('exit', () => output.flushSync());
  const log = pino(
    {
      level,
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // A line that is shown at a terminal later must not steer it.
      hooks: { streamWrite: escapeJson },
    },
    process.stdout.isTTY ? forPeople(output) : output,
  );
  return { log, output };
}

/** NO_COLOR, FORCE_COLOR and the terminal itself decide about colours. */
function forPeople(output: LogOutput): Pick<LogOutput, 'write' | 'flush' | 'flushSync'> {
  const colors = process.stdout.hasColors();
  return {
    write: (line) => output.write(humanLine(line, colors)),
    flush: (done: () => void) => output.flush(done),
    flushSync: () => output.flushSync(),
  };
}

/** A logger that says nothing, for tests and one-shot commands. */
export const silentLogger: Logger = pino({ level: 'silent' });
