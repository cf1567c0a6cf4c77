import { loadTlsNeks } from '#cluster/config/nek.ts';
import type { Member } from '#cluster/members/member-contract.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { listenerContract } from '#services/listener/contract.ts';
import { describeNek, type Nek } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import { type Caller, type CommonOptions, print, readConfig, withStore } from '../context.ts';

/**
 * `sealpost keymgmt rotate nek <name>` for a NEK of `tls.nek`, which wraps the private keys of certificates. Which one is the
 * current one, the configuration of each node says by its order; so every process that lives must have it before anything is
 * wrapped with it.
 */

/** The NEK of this name in `tls.nek` here; undefined where it is none of these. */
export async function tlsNekNamed(name: string, options: CommonOptions): Promise<Nek | undefined> {
  const { tls } = await readConfig(options, ['node', 'bus', 'tls']);
  if (tls?.nek === undefined) return undefined;
  return (await loadTlsNeks({ tls })).find((nek) => nek.name === name);
}

export async function rotateTlsNek(nek: Nek, options: CommonOptions): Promise<void> {
  const answer = await withStore(options, async (store, caller) => {
    const members = (await caller.meet()).filter(({ state }) => state !== 'gone');
    for (const member of members) await assertHolds(caller, member, nek);
    return await store['certificate-rewrap']({ nek: nek.fingerprint, write: true });
  });
  const { certificates, accounts } = answer;
  print(options, { nek: { name: nek.name, fingerprint: nek.fingerprint }, ...answer }, () =>
    [
      `NEK > NEK ${nek.name} - Fingerprint ${nek.fingerprint}`,
      `the keys of ${certificates} certificate${certificates === 1 ? '' : 's'} and ${accounts} ACME account${accounts === 1 ? '' : 's'} were wrapped again; NEK ${nek.name} wraps all of them`,
      'When "sealpost certificates list" shows that every listener uses them, the old line may go from tls.nek of every node.',
    ].join('\n'),
  );
}

/** Fails with `nek-missing-on-node`, or as the process that does not answer. */
async function assertHolds(caller: Caller, { node, process, services }: Member, nek: Nek): Promise<void> {
  if (services.includes('credential-store')) {
    const store = caller.client(credentialStoreContract);
    await store['certificate-rewrap']({ nek: nek.fingerprint, write: false }, { node: process });
  }
  if (!services.includes('listener')) return;
  const { sharedCertificates, tlsNeks } = await caller.client(listenerContract)['status-show']({}, { node: process });
  if (sharedCertificates === undefined || tlsNeks?.includes(nek.fingerprint)) return;
  const why =
    tlsNeks === undefined ? 'is of a version that does not say its NEKs: update it first' : 'does not have it';
  const help =
    tlsNeks === undefined
      ? ''
      : ': add it to tls.nek there, and keep the old one; where that is done, run this again in half a minute, when it has read the file';
  throw new SealpostError('nek-missing-on-node', `NEK ${describeNek(nek)}: the listener of node ${node} ${why}${help}`);
}
