import { CountedRow, type DmarcRow, ReportUnit } from '#shared/mail/reports/dmarc-rows.ts';
import type { ReportKind } from '../daily/kind.ts';

export const DMARC: ReportKind<ReportUnit, DmarcRow> = {
  name: 'DMARC',
  prefix: 'dmarc',
  counts: 'message',
  limits: { units: 50_000, rows: 10_000 },
  unit: ReportUnit,
  row: CountedRow,
  empty: {
    published: { p: 'none', adkim: 'r', aspf: 'r', testing: false, rua: '' },
    seen: 0,
    rows: 0,
    uncounted: 0,
  },
};
