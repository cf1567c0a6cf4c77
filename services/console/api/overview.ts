import { type Alarm, Overview, OverviewReply } from '../schemas/overview.ts';
import type { Bounds } from './access.ts';
import { events, route } from './route.ts';

/** What an administrator sees first: the nodes, mail as it happens, and what needs a hand. */

export const overviewRoutes = [
  route({
    method: 'GET',
    path: '/api/overview',
    summary: 'The nodes, mail at this moment and in the last ten minutes, and what needs a hand',
    access: 'viewer',
    domains: 'filtered',
    reply: OverviewReply,
    handler: async ({ traffic, bounds }) => {
      const { now, history } = await traffic.look();
      return { now: within(bounds, now), history };
    },
  }),
];

export const overviewEvents = events({
  name: 'overview',
  summary: 'The overview without its history, every second',
  access: 'viewer',
  domains: 'filtered',
  data: Overview,
  begin: ({ traffic, bounds }, send) => traffic.follow((now) => send(within(bounds, now))),
});

/** Numbers of mail are of all domains together; alarms name domains. */
function within(bounds: Bounds, now: Overview): Overview {
  const { domains } = bounds;
  return domains === undefined ? now : { ...now, alarms: now.alarms.filter((alarm) => isAbout(alarm, domains)) };
}

/** Of a node, or of a key or domain that is hers, without the name of any other. */
function isAbout({ about, text, help }: Alarm, domains: readonly string[]): boolean {
  const named = `${about} ${text} ${help}`.toLowerCase().match(HOST_NAMES) ?? [];
  return named.every((name) => domains.includes(name)) && (about.startsWith('node ') || named.length > 0);
}

/** Whatever could be the name of a domain: also version numbers and file names, so that rather too little is shown. */
const HOST_NAMES = /[\p{L}\p{N}_-]+(?:\.[\p{L}\p{N}_-]+)+/gu;
