import { z } from 'zod';
import { dmarcReportsSection } from '../reports/dmarc.ts';
import { domain } from '../values.ts';
import { dmarcActions, externalSection, junkSection, spfSection } from './actions.ts';

/** The section `authenticity`: whether mail is from whom it says, and what follows from that. */

export const authenticitySection = z
  .strictObject({
    check: z
      .boolean()
      .default(true)
      .describe('check SPF, DKIM, ARC and DMARC of incoming mail, and write Authentication-Results and Received-SPF'),
    'authserv-id': domain
      .optional()
      .describe('name of this site in Authentication-Results, best the same on all nodes; default: node.hostname'),
    spf: spfSection,
    dmarc: z.strictObject({ ...dmarcActions, reports: dmarcReportsSection }).prefault({}),
    junk: junkSection,
    external: externalSection,
  })
  .prefault({});
