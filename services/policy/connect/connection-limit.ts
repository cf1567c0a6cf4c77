import type { PolicyCheck } from '../facts.ts';
import { goOn, reject } from '../verdict.ts';

/**
 * How many connections a client may have to all nodes together (`checks.connections-per-client`). Each process has a limit
 * of its own besides (`limits.sessions-per-client`), which costs nobody a question.
 */
export const connectionLimit: PolicyCheck<'connect'> = ({ address, connections }, accepted) => {
  if (connections === undefined) return goOn();
  if ('exempt' in connections) return goOn([`connections are not limited: ${connections.exempt}`]);
  if (accepted.scope === 'internal') return goOn(['connections are not limited: client is internal']);
  const { open, most } = connections;
  const step = `${address} has ${open} other connections, of at most ${most} (checks.connections-per-client)`;
  if (open < most) return goOn([step]);
  return reject(421, '4.7.0', 'Too many connections from your address, please try again later', [step]);
};
