import type { Member } from '#cluster/members/member-contract.ts';
import { LONG_MS } from '#cluster/webhooks/alarms.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { routerContract } from '#services/router/contract.ts';
import { formatDuration, formatTime } from '#shared/units.ts';
import type { WebhookStatus } from '#shared/webhooks/status.ts';
import type { Clients } from '../clients.ts';
import { askEach } from '../keys/key-list.ts';
import type { Finding, Sender, SenderStatus } from './finding.ts';

/** How the webhooks are doing, as every service says that sends to them. */

/** How long a process may take before it counts as silent. */
const PATIENCE = { timeout: 3000 };
/** For so long after the last of them are events that were given up told of. */
const DAY_MS = 86_400_000;

const SENDERS = [routerContract, credentialStoreContract] as const;

export function sendersOf(members: readonly Member[]): Sender[] {
  return members
    .filter(({ state }) => state !== 'gone')
    .flatMap(({ node, process, services }) =>
      SENDERS.filter(({ name }) => services.includes(name)).map(({ name: service }) => ({ node, process, service })),
    );
}

/** The operations of a sender that are about webhooks. */
export function senderClient({ client }: Clients, service: Sender['service']) {
  const all = service === 'router' ? client(routerContract) : client(credentialStoreContract);
  return { list: all['webhook-list'], retry: all['webhook-retry'], test: all['webhook-test'] };
}

/** Of all that answer; the others are told to `onSilent`. */
export async function gatherWebhooks(
  clients: Clients,
  members: readonly Member[],
  onSilent: (sender: Sender, error: unknown) => void = () => undefined,
): Promise<SenderStatus[]> {
  const answers = await askEach(sendersOf(members), async (sender): Promise<SenderStatus[]> => {
    try {
      const question = { ...PATIENCE, node: sender.process };
      return [{ ...sender, webhooks: (await senderClient(clients, sender.service).list({}, question)).webhooks }];
    } catch (error) {
      onSilent(sender, error);
      return [];
    }
  });
  return answers.flat();
}

export function webhookFindings(senders: readonly SenderStatus[], now: number): Finding[] {
  return senders.flatMap(({ node, service, webhooks }) =>
    webhooks.flatMap((webhook): Finding[] => {
      const { name, failing, paused, lastError, waiting } = webhook;
      const about = `webhook ${name}`;
      const where = `the ${service} of node ${node}`;
      if (paused !== undefined) {
        const text = `its receiver wants no more (410 Gone), so ${where} sends nothing: ${waiting} events wait`;
        const help = `"sealpost webhooks retry ${name}" sends again; or take it out of webhooks`;
        return [{ severity: 'error', about, text, help }];
      }
      if (failing === undefined || now - failing.since < LONG_MS) return [];
      const since = `for ${formatDuration(Math.floor((now - failing.since) / 60_000) * 60_000)}`;
      const why = lastError === undefined ? '' : ` (${lastError.text})`;
      const text = `has taken nothing from ${where} ${since}${why}: ${waiting} events wait, and are given up after a day`;
      const help = `see to its receiver; "sealpost webhooks test ${name}" shows what it answers`;
      return [{ severity: 'warning', about, text, help }];
    }),
  );
}

/** Events that their receiver was never told, for a day after the last of them: somebody may have to make up for it. */
export function droppedFindings(senders: readonly SenderStatus[], now: number): Finding[] {
  return senders.flatMap(({ node, service, webhooks }) =>
    webhooks.flatMap(({ name, dropped, lastDropped }): Finding[] => {
      if (lastDropped === undefined || now - lastDropped > DAY_MS) return [];
      const events = dropped === 1 ? '1 event' : `${dropped} events`;
      const text = `${events} of the ${service} of node ${node} since its start could not be sent in a day, or had no room, and were given up, the last at ${formatTime(lastDropped)}`;
      const help = `what they told is in the log of the node; "sealpost webhooks test ${name}" shows whether its receiver answers`;
      return [{ severity: 'error', about: `webhook ${name}`, text, help }];
    }),
  );
}

/** What is to be said of its state, for people. */
export function webhookState({ failing, paused }: WebhookStatus): string {
  if (paused !== undefined) return `paused since ${formatTime(paused.at)}`;
  return failing === undefined ? 'works' : `fails since ${formatTime(failing.since)}`;
}
