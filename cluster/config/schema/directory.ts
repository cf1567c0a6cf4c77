import { z } from 'zod';

/** The section `directory`: who has a mailbox here, and who may log in. */

export const directorySection = z
  .strictObject({
    users: z.string().optional().describe('YAML file of users and aliases, which sealpost users edits'),
    'mail-to-groups': z
      .enum(['expand', 'refuse-outsiders', 'refuse', 'pass-on'])
      .default('expand')
      .describe(
        'mail to the address of a group goes to its members; is refused from clients that are external and not authenticated; is refused; or goes on as it is, to a next hop that expands it',
      ),
  })
  .prefault({});
