import type { Handlers } from '#shared/contract.ts';
import { MOST_DIRECTIVES } from '#shared/directive.ts';
import type { RouterContract } from '../contract.ts';
import type { Directives } from './directives.ts';

type Names = 'directive-list' | 'directive-set' | 'directive-end';

/** What operators and other routers ask about directives. */
export function directiveHandlers(directives: () => Directives): Pick<Handlers<RouterContract>, Names> {
  return {
    'directive-list'({ after }) {
      const { records, next } = directives().records(after, MOST_DIRECTIVES);
      return { directives: records, ...(next !== undefined && { next }) };
    },
    'directive-set': async (request) => ({ directive: await directives().set(request) }),
    'directive-end': async ({ by, ...subject }) => ({ directive: await directives().end(subject, by) }),
  };
}
