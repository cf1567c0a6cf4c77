import type { Handlers } from '#shared/contract.ts';
import type { RouterContract } from '../contract.ts';
import type { Control } from './control.ts';
import type { Views } from './views.ts';

type Operations =
  | 'message-list'
  | 'message-find'
  | 'message-show'
  | 'message-read'
  | 'queue-summarize'
  | 'queue-change'
  | 'message-retry'
  | 'message-hold'
  | 'message-release'
  | 'message-remove';

/** What operators ask about the queue. `queue` throws `unavailable` while it is not known as a whole. */
export function queueHandlers(
  queue: () => { views: Views; control: Control },
): Pick<Handlers<RouterContract>, Operations> {
  return {
    'message-list': (request) => queue().views.list(request),
    'message-find': (request) => queue().views.find(request),
    'message-show': ({ queueId }) => queue().views.show(queueId),
    'message-read': async ({ queueId, offset }) => {
      const { total, bytes } = await queue().views.read(queueId, offset);
      return { reply: { total }, bytes };
    },
    'queue-summarize': (request) => queue().views.summarize(request),
    'queue-change': (request) => queue().control.change(request),
    'message-retry': async (selection) => ({ count: await queue().control.changeAll('retry', selection) }),
    'message-hold': async (selection) => ({ count: await queue().control.changeAll('hold', selection) }),
    'message-release': async (selection) => ({ count: await queue().control.changeAll('release', selection) }),
    'message-remove': async ({ notify, ...selection }) => ({
      count: await queue().control.changeAll('remove', selection, notify),
    }),
  };
}
