import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { errorText } from '#shared/errors.ts';
import { MessageReply } from '../../schemas/messages.ts';
import { type Asked, events } from '../route.ts';
import { tellMessage } from './messages.ts';

/** What becomes of one message, as it happens. */

const EVERY_MS = 1000;

export const messageEvents = events({
  name: 'message',
  summary: 'One message, each second, as GET /api/messages/:id tells it; `problem` while that cannot be told',
  access: 'viewer',
  domains: 'filtered',
  /** Its queue id. */
  query: z.object({ message: z.string().min(1).max(250) }),
  data: z.object({ told: MessageReply.optional(), problem: z.string().optional() }),
  begin: (context, send) => {
    const stop = new AbortController();
    void follow(context, stop.signal, send);
    return () => stop.abort();
  },
});

type Told = { told?: MessageReply; problem?: string };

async function follow(
  context: Asked & { query: { message: string } },
  signal: AbortSignal,
  send: (data: Told) => void,
): Promise<void> {
  let last: Told = {};
  while (!signal.aborted) {
    // What has left stays as it is.
    if (last.told === undefined || last.told.queued) last = await tell(context);
    if (signal.aborted) return;
    send(last);
    await delay(EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function tell(context: Asked & { query: { message: string } }): Promise<Told> {
  try {
    return { told: await tellMessage(context, context.query.message) };
  } catch (error) {
    return { problem: errorText(error) };
  }
}
