/** Lists that are answered a page at a time, ordered by `place`. */

/** The entries after the cursor, and the cursor of the page that follows. */
export function pageOf<T extends { place: string }>(
  entries: T[],
  after: string | undefined,
  size: number,
): { page: T[]; next: string | undefined } {
  const rest = after === undefined ? entries : entries.filter((e) => e.place > after);
  const page = rest.slice(0, size);
  return { page, next: rest.length > size ? page.at(-1)?.place : undefined };
}
