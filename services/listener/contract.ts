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
        /**
         * Gateways of the networks of its container that entries of relay.allow.hosts hold (gateways.ts). `named`: the
         * entry is this address alone, and whoever comes through it is trusted.
         */
        gateways: z.array(z.object({ address: z.string(), entry: z.string(), named: z.boolean() })).optional(),
      }),
    },
  },
});
export type ListenerContract = typeof listenerContract;
