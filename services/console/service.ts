import type { Service } from '#shared/contract.ts';
import { type ConsoleContract, consoleContract } from './contract.ts';
import { BlockedUsers } from './http/blocked-users.ts';
import { ConfiguredServer } from './http/configured-server.ts';
import { type ConsoleDeps, type HttpDeps, originOf } from './http/deps.ts';
import { LINK_VALID_MS, Links } from './http/links.ts';
import { Sessions } from './http/sessions.ts';
import { KeptExamination } from './reports/traffic/examination.ts';
import { TrafficWatch } from './reports/traffic/watch.ts';

/**
 * The console for administrators in a browser. It owns sessions, in memory, and nothing of mail: whatever it shows it asks the
 * other services for, in the name of the person, and mail is unaffected when it is down.
 *
 *   contract.ts   what it can be asked over the bus: its status, and a link that signs somebody in
 *   http/         the server: sign-in, sessions, who may ask what, the files of the page
 *   api/          what can be asked over HTTPS, an area a file; route.ts says how one is added
 *   schemas/      what that looks like, for the API and the page alike
 *   page/         what runs in the browser
 *   reports/      what is found out about a cluster, for the API and the command line alike
 *   cli/          the command line
 *   metrics/      what Prometheus reads
 */

export function createConsoleService(given: ConsoleDeps): Service<ConsoleContract> {
  const deps = createHttpDeps(given);
  const server = new ConfiguredServer(deps);
  return {
    contract: consoleContract,
    async start() {
      deps.blocked.start();
      deps.sessions.start();
      deps.traffic.start();
      await server.open();
    },
    async stop() {
      deps.traffic.stop();
      deps.sessions.stop();
      deps.blocked.stop();
      await server.stop();
    },
    handlers: {
      'status-show': () => {
        const { port, material, section } = server.opened();
        const { node } = deps.settings.current;
        return {
          ...{ node: node.name, origin: deps.origin(), address: section.address, port },
          ...{ fingerprint: material.fingerprint, until: material.until, sessions: deps.sessions.count },
        };
      },
      'link-create': ({ role, domains, person }) => {
        server.opened();
        const url = deps.links.create(deps.origin(), { name: `${person}, by link`, role, domains });
        return { url, validMs: LINK_VALID_MS };
      },
    },
  };
}

function createHttpDeps(given: ConsoleDeps): HttpDeps {
  const { settings, log, clientsOf } = given;
  const clients = clientsOf('the console');
  const blocked = new BlockedUsers(clients, log);
  const examination = new KeptExamination(clients, () => settings.current);
  return {
    ...given,
    blocked,
    sessions: new Sessions(settings, blocked),
    links: new Links(),
    traffic: new TrafficWatch({ clients, node: settings.current.node.name, examination, log }),
    origin: () => originOf(settings.current),
  };
}
