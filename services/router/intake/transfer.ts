import type { Envelope, Origin } from '#shared/envelope.ts';

/** A message on its way in, as its intake knows it (intake.ts). Times are ms since 1970. */
export type Transfer = {
  id: string;
  queueId: string;
  envelope: Envelope;
  origin: Origin;
  trace: string;
  arrived: number;
  /** Number of the chunk that comes next. */
  next: number;
  /** Sizes of the pieces written so far. */
  written: number[];
  bytes: number;
  touched: number;
  /** Records of it may be on disk, whatever the write was answered. */
  begun: boolean;
};
