import { keyRoutes } from './keys.ts';
import { messageEvents } from './mail/follow.ts';
import { mailRoutes } from './mail/routes.ts';
import { overviewEvents, overviewRoutes } from './overview.ts';
import { peopleRoutes } from './people/routes.ts';
import { receivedRoutes } from './received.ts';
import { resultRoutes } from './results.ts';
import type { EventSource, Route } from './route.ts';
import { settingsRoutes } from './settings.ts';
import { tlsRoutes } from './tls/routes.ts';

/** Every area of the API. */
export const ROUTES: readonly Route[] = [
  ...overviewRoutes,
  ...keyRoutes,
  ...tlsRoutes,
  ...receivedRoutes,
  ...resultRoutes,
  ...peopleRoutes,
  ...settingsRoutes,
  ...mailRoutes,
];

/** What `GET /api/events` can tell. */
export const EVENTS: readonly EventSource[] = [overviewEvents, messageEvents];
