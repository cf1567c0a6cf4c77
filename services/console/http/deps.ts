import { consoleOrigin } from '#cluster/config/rules/servers/console.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import type { Calls } from '#services/topology.ts';
import type { Logger } from '#shared/log.ts';
import { Bounds, type Person } from '../api/access.ts';
import type { Asked } from '../api/route.ts';
import type { Clients } from '../reports/clients.ts';
import type { TrafficWatch } from '../reports/traffic/watch.ts';
import type { BlockedUsers } from './blocked-users.ts';
import type { Links } from './links.ts';
import type { Sessions } from './sessions.ts';

/** What all that is served has in common; it outlives the port, which the configuration may move. */
export type ConsoleDeps = {
  settings: Settings;
  log: Logger;
  policy: Calls<'console', 'policy'>;
  /** The services, asked in the name of a person. */
  clientsOf(by: string): Clients;
};

export type HttpDeps = ConsoleDeps & {
  blocked: BlockedUsers;
  sessions: Sessions;
  links: Links;
  traffic: TrafficWatch;
  /** Where people find the console. */
  origin(): string;
};

/** `console alice`: as the audit log names who changed something. */
const auditName = ({ name }: Person): string => `console ${name}`;

export function askedBy(person: Person, deps: HttpDeps, signal: AbortSignal): Asked {
  const { settings, traffic, log } = deps;
  return {
    person,
    bounds: new Bounds(person),
    clients: deps.clientsOf(auditName(person)),
    config: settings.current,
    folder: settings.folder,
    ...{ traffic, log, signal },
  };
}

/** Of a console that is configured. */
export function originOf(config: Config): string {
  return consoleOrigin(config) ?? 'https://localhost';
}
