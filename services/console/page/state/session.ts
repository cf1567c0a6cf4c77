import type { SessionReply } from '#services/console/schemas/session.ts';
import { Store, useStore } from './store.ts';

/** Who looks at the page. The server decides what they may do; the page only leaves out what would be refused. */

export type Session = SessionReply;

export type SignedIn =
  | { state: 'unknown' }
  /** `reason`: why a session has ended, as a sentence. */
  | { state: 'out'; reason?: string }
  | { state: 'in'; session: Session };

export const signedIn = new Store<SignedIn>({ state: 'unknown' });

/** The version that these modules are of. */
let version: string | undefined;

/** From now on the page is shown. One that was upgraded since its modules were loaded is loaded again. */
export function enter(session: Session): void {
  version ??= session.version;
  if (session.version === version) signedIn.set({ state: 'in', session });
  else location.reload();
}

/** Of a page, which is shown only to those who are signed in. */
export function useSession(): Session {
  const now = useStore(signedIn);
  if (now.state !== 'in') throw new Error('nobody is signed in');
  return now.session;
}

/** Whether they may change anything at all: buttons that change are left out otherwise. */
export const mayChange = ({ role }: Session): boolean => role !== 'viewer';

/** Whether they may change what concerns the whole cluster. */
export const mayChangeAll = ({ role, domains }: Session): boolean => role === 'operator' && domains === undefined;
