import { isDeclared } from '#cluster/actor.ts';
import type { CallContext, Contract, Handlers, OperationSpec, Service } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';

/**
 * The same service for tests that call its handlers themselves: a code that its contract does not declare is a bug
 * there too.
 */
export function strict<C extends Contract>(service: Service<C>): Service<C> {
  const { name, operations } = service.contract;
  const handlers = Object.entries(service.handlers as Record<string, Handler>).map(([operation, handler]) => [
    operation,
    async (request: unknown, context: CallContext): Promise<unknown> => {
      try {
        return await handler(request, context);
      } catch (error) {
        if (!(error instanceof SealpostError) || isDeclared(operations[operation] as OperationSpec, error.code))
          throw error;
        throw new Error(`${name}.${operation} does not declare ${error.code}`, { cause: error });
      }
    },
  ]);
  return { ...service, handlers: Object.fromEntries(handlers) as Handlers<C> };
}

type Handler = (request: unknown, context: CallContext) => unknown;
