import type { Refusal } from '#services/policy/contract.ts';
import { errorText } from '#shared/errors.ts';
import { LOCAL_ERROR, type Reply } from '#shared/mail/reply.ts';
import type { SessionLog } from './session-log.ts';

/** Resolves to the verdict of policy; its being away or in trouble is a temporary refusal, never an acceptance. */
export async function verdictOf<V extends { action: 'accept' } | Refusal>(
  call: Promise<V>,
  log: SessionLog,
  trace?: string,
): Promise<V | { action: 'defer'; reply: Reply }> {
  try {
    const verdict = await call;
    if (verdict.action !== 'accept') log.reasoned(verdict.why, trace);
    return verdict;
  } catch (error) {
    log.warn('policy gave no verdict', { trace, error: errorText(error) });
    return { action: 'defer', reply: LOCAL_ERROR };
  }
}
