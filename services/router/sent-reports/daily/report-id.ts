import { createHash } from 'node:crypto';

/**
 * The id of the report of a run on a unit: letters and digits, as it is part of the file name too (RFC 9990 §3.5.1, RFC 8460
 * §5.1). The same for whichever node sends it. `run` is the day of the run.
 */
export function reportId(submitter: string, unit: string, run: string): string {
  return createHash('sha256').update(`${submitter} ${unit} ${run}`).digest('hex').slice(0, 32);
}
