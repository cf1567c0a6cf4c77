import type { Route } from '../route.ts';
import { destinationRoutes } from './destinations.ts';
import { messageRoutes } from './messages.ts';
import { queueRoutes } from './queue.ts';
import { testMailRoutes } from './test-mail.ts';

/** Mail: one message, and the queues. */
export const mailRoutes: readonly Route[] = [...messageRoutes, ...queueRoutes, ...destinationRoutes, ...testMailRoutes];
