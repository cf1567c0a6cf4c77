import type { z } from 'zod';

/** What tells the two kinds of daily reports apart, on mail in the name of a domain (DMARC) and on the TLS of its hosts. */

/** What is counted together, and how often it occurred. */
export type Counted<Row> = { count: number; row: Row };

/** What a router knows of a unit beside its rows. */
export type UnitRecord = {
  rows: number;
  /** What is in no row, because there were too many rows. */
  uncounted: number;
  /** The rows were given to a run of this epoch. */
  epoch?: number | undefined;
};

/** Some of the rows; `next` where there are more. */
export type Page<Unit, Row> = { unit: Unit; rows: Counted<Row>[]; next?: string | undefined };

/** `units` of one node; `rows` of one unit. */
export type RowLimits = { units: number; rows: number };

export type ReportKind<Unit extends UnitRecord, Row> = {
  /** In the log: `DMARC`. */
  name: string;
  /** Before the names of its records: `dmarc`. */
  prefix: string;
  /** What its rows count: `message`. */
  counts: string;
  limits: RowLimits;
  unit: z.ZodType<Unit>;
  row: z.ZodType<Counted<Row>>;
  /** Of a unit that has no rows yet. */
  empty: Unit;
  /** A row that says less, of which there are few in a unit: it counts what there is no room for otherwise. */
  coarser?: (row: Row) => Row;
};
