import { z } from 'zod';
import { junkSection } from './actions.ts';
import { dmarcReportsSection } from './dmarc-reports.ts';

/** The section `authenticity`: whether mail is from whom it says, and what follows from that. */

export const authenticitySection = z
  .strictObject({
    dmarc: z.strictObject({ reports: dmarcReportsSection }).prefault({}),
    junk: junkSection,
  })
  .prefault({});
