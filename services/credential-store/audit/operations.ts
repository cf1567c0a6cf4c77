import type { Settings } from '#cluster/config/settings.ts';
import type { Handlers } from '#shared/contract.ts';
import type { CredentialStoreContract } from '../contract.ts';
import type { AuditLog } from './audit-log.ts';

type Deps = { audit: AuditLog; settings: Settings };

/** What can be asked of the audit log; `deps` fails with `unavailable` while the service is not started. */
export function auditHandlers(
  deps: () => Deps,
): Pick<Handlers<CredentialStoreContract>, 'audit-append' | 'audit-list'> {
  return {
    'audit-append': async (entry, { caller }) => {
      await deps().audit.append(entry, caller);
      return {};
    },
    'audit-list': async (search) => {
      const { audit, settings } = deps();
      return { node: settings.current.node.name, ...(await audit.page(search)) };
    },
  };
}
