/** Which rows of a long list are in the document. Pure. */

/** `end` is excluded. */
export type Span = { first: number; end: number };

/** Rows above and below those in sight, so that scrolling and the Tab key find some there. */
const SPARE = 8;

/** Of `count` rows of `rowHeight`, `top` px of them above what is in sight, which is `height` px: those that are rendered. */
export function rowsInSight(count: number, rowHeight: number, top: number, height: number): Span {
  const last = Math.max(0, count - 1);
  const first = Math.min(last, Math.floor(Math.max(0, top) / rowHeight));
  const rows = Math.ceil(height / rowHeight);
  return { first: Math.max(0, first - SPARE), end: Math.min(count, first + rows + 1 + SPARE) };
}

/** Where the list must be scrolled to so that row `index` is in sight, moved as little as can be. */
export function scrolledTo(index: number, rowHeight: number, top: number, height: number): number {
  const start = index * rowHeight;
  if (start < top) return start;
  return start + rowHeight > top + height ? start + rowHeight - height : top;
}

export type Sort = { column: number; down: boolean };

/** By a number or text of each row; those that are equal keep their order. Undefined ones come last. */
export function sorted<Row>(
  rows: readonly Row[],
  by: (row: Row) => string | number | undefined,
  down: boolean,
): readonly Row[] {
  const keyed = rows.map((row) => ({ row, key: by(row) }));
  const sign = down ? -1 : 1;
  keyed.sort((a, b) => {
    if (a.key === b.key) return 0;
    if (a.key === undefined) return 1;
    if (b.key === undefined) return -1;
    return a.key < b.key ? -sign : sign;
  });
  return keyed.map(({ row }) => row);
}
