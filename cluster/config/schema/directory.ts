import { z } from 'zod';

/** The section `directory`: who has a mailbox here, and who may log in. */

export const directorySection = z
  .strictObject({
    users: z.string().optional().describe('YAML file of users and aliases, which sealpost users edits'),
  })
  .prefault({});
