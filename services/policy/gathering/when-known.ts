/** Go on with what was asked for; without a promise where nothing had to be waited for. */
export function whenKnown<Known, Result>(
  known: Known | Promise<Known>,
  goOn: (known: Known) => Result | Promise<Result>,
): Result | Promise<Result> {
  return known instanceof Promise ? known.then(goOn) : goOn(known);
}
