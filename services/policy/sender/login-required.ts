import type { PolicyCheck } from '../facts.ts';
import { goOn, reject } from '../verdict.ts';

/** RFC 6409 §4.3: submission takes mail from authenticated users only. */
export const loginRequired: PolicyCheck<'sender'> = ({ session }) =>
  session.kind === 'submission' && session.user === undefined
    ? reject(530, '5.7.0', 'Authentication required', [
        'a submission listener takes mail from authenticated users only',
      ])
    : goOn();
