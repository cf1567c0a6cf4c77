/** Go on with what was asked for; without a promise where nothing had to be waited for. */
export function whenKnown<Known, Result>(
  known: Known | Promise<Known>,
  goOn: (known: Known) => Result | Promise<Result>,
): Result | Promise<Result> {
  return known instanceof Promise ? known.then(goOn) : goOn(known);
}

/** The same for several that are asked for concurrently. */
export function whenAllKnown<Known extends readonly unknown[], Result>(
  all: { readonly [K in keyof Known]: Known[K] | Promise<Known[K]> },
  goOn: (...known: Known) => Result | Promise<Result>,
): Result | Promise<Result> {
  if (all.some((one) => one instanceof Promise)) return Promise.all(all).then((known) => goOn(...(known as never)));
  return goOn(...(all as unknown as Known));
}
