import { z } from 'zod';
import { defineContract } from '#shared/contract.ts';

/** The listener owns the SMTP sessions. It keeps nothing on disk. */
export const listenerContract = defineContract('listener', 1, {
  operations: {
    'status-show': {
      request: z.object({}),
      reply: z.object({
        listeners: z.array(
          z.object({
            name: z.string(),
            kind: z.enum(['relay', 'submission']),
            address: z.string(),
            port: z.number().int(),
            tls: z.string(),
            sessions: z.number().int(),
          }),
        ),
      }),
    },
  },
});
export type ListenerContract = typeof listenerContract;
