import type { CallContext } from '#shared/contract.ts';
import type { TestResult, WebhookStatus } from '#shared/webhooks/status.ts';
import type { Settings } from '../config/settings.ts';
import type { Webhooks } from './webhooks.ts';

type Named = { name: string };
type Handler<Request, Reply> = (request: Request, context: CallContext) => Reply;

/** The answers of a service that sends to webhooks (shared/webhooks/status.ts). */
export type WebhookHandlers = {
  'webhook-list': Handler<object, { node: string; webhooks: WebhookStatus[] }>;
  'webhook-retry': Handler<Named, { waiting: number }>;
  'webhook-test': Handler<Named, Promise<TestResult>>;
};

/** `deps` fails with `unavailable` while the service is not started. */
export function webhookHandlers(deps: () => { settings: Settings; webhooks: Webhooks }): WebhookHandlers {
  return {
    'webhook-list': () => {
      const { settings, webhooks } = deps();
      return { node: settings.current.node.name, webhooks: webhooks.status() };
    },
    'webhook-retry': ({ name }) => ({ waiting: deps().webhooks.retry(name) }),
    'webhook-test': ({ name }) => deps().webhooks.test(name),
  };
}
