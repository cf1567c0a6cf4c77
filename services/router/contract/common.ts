import { z } from 'zod';

/** What several operations have in common. */

export const Affected = z.object({ count: z.number().int() });

/** Errors of everything that reads the queue from disk. */
export const READ = ['store-failed', 'store-damaged'] as const;
