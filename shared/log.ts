import pino from 'pino';

export type Logger = pino.Logger;

export type LogOptions = { level: string; pretty?: boolean };

/**
 * The process's logger: one JSON object a line on standard output.
 * Field names are fixed so that one grep finds a mail: `session`, `queueId`, `trace`, `peer`, `domain`.
 */
export function createLogger(options: LogOptions): Logger {
  return pino(
    {
      level: options.level,
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ dest: 1, sync: false, minLength: 0 }),
  );
}

/** A logger that says nothing, for tests and one-shot commands. */
export const silentLogger: Logger = pino({ level: 'silent' });
