import type { AuditChange } from '#cluster/actor.ts';
import type { Bus } from '#cluster/bus/bus.ts';
import { type AuditEntry, MOST_ABOUT } from '#shared/audit/entry.ts';
import { errorText } from '#shared/errors.ts';
import { newQueueId } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import { calls } from './topology.ts';

/**
 * Has every change that people make written to the audit log, which any credential-store keeps, and to the log of this
 * process. A change is not refused because its entry cannot be written: an administrator who must revoke a key while the
 * credential-store is in trouble is right to do so; the log of the process has it then.
 */

const PATIENCE_MS = 2000;
/** For how long nothing waits for a store that did not take an entry: a change of much mail is made in thousands of parts. */
const TROUBLE_MS = 60_000;

/** `keeperOf`: the node that is to keep the entry of an operation, where it matters; without it, or its answer, any. */
export function auditor(
  bus: Bus,
  node: string,
  log: Logger,
  keeperOf: (operation: string) => string | undefined = () => undefined,
): AuditChange {
  const store = calls(bus, 'router', 'credential-store');
  let troubleUntil = 0;
  const append = async (entry: AuditEntry): Promise<void> => {
    const keeper = keeperOf(entry.operation);
    try {
      const any = (): Promise<unknown> => store['audit-append'](entry, { timeout: PATIENCE_MS });
      if (keeper === undefined) await any();
      else await store['audit-append'](entry, { timeout: PATIENCE_MS, node: keeper }).catch(any);
      troubleUntil = 0;
    } catch (error) {
      troubleUntil = performance.now() + TROUBLE_MS;
      log.warn({ audit: entry, error: errorText(error) }, 'a change is not in the audit log, only here');
    }
  };
  return async ({ by, service, operation, about, outcome }) => {
    const at = Date.now();
    const entry: AuditEntry = {
      ...{ id: newQueueId(at), at, by: by.slice(0, 255), node, service, operation },
      ...{ about: about.slice(0, MOST_ABOUT), outcome },
    };
    log.info({ audit: { by: entry.by, operation, about: entry.about, outcome } }, 'a change by an operator');
    const waits = performance.now() >= troubleUntil;
    const written = append(entry);
    if (waits) await written;
  };
}
