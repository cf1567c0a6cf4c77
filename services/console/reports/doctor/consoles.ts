import type { Member } from '#cluster/members/member-contract.ts';
import { errorText } from '#shared/errors.ts';
import { formatDuration } from '#shared/units.ts';
import { consoleContract } from '../../contract.ts';
import type { Clients } from '../clients.ts';
import { askEach } from '../keys/key-list.ts';
import type { Console, Finding } from './finding.ts';

/** Whether administrators find the console, and their browsers believe its certificate. */

const PATIENCE = { timeout: 3000 };
const DAY_MS = 86_400_000;
const SOON_MS = 14 * DAY_MS;

export async function gatherConsoles({ client }: Clients, members: readonly Member[]): Promise<Console[]> {
  const running = members.filter(({ state, services }) => state !== 'gone' && services.includes('console'));
  return askEach(running, async ({ node, process }): Promise<Console> => {
    try {
      const { origin, until } = await client(consoleContract)['status-show']({}, { ...PATIENCE, node: process });
      return { node, origin, until };
    } catch (error) {
      return { node, error: errorText(error) };
    }
  });
}

export function consoleFindings(consoles: readonly Console[], now: number): Finding[] {
  return consoles.flatMap(({ node, origin, until, error }): Finding[] => {
    const about = `node ${node}`;
    if (until === undefined) {
      const text = `its console is closed or does not answer: ${error}`;
      const help = 'see the log of its process; a process that shall have no console must not run that service';
      return [{ severity: 'warning', about, text, help }];
    }
    if (until - now > SOON_MS) return [];
    const help = 'put a new one in place of its files, which are read again by themselves';
    return until < now
      ? [{ severity: 'error', about, text: `the certificate of the console at ${origin} has expired`, help }]
      : [
          {
            ...{ severity: 'warning', about, help },
            text: `the certificate of the console at ${origin} expires in ${formatDuration(until - now)}`,
          },
        ];
  });
}
