/**
 * How long a scenario is. A run in CI shows the same as a full one, with fewer repetitions: FULL=1 asks for the full
 * one, and the variable `name` for any other (docs/build/testing.md).
 */
export function lengthOf(name: string, { short, full }: { short: number; full: number }): number {
  const wanted = process.env[name] ?? (process.env['FULL'] === '1' ? full : short);
  const length = Number(wanted);
  if (!(length > 0)) throw new Error(`${name}=${wanted} is not a number above 0`);
  return length;
}
