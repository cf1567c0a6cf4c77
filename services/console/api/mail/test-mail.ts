import { errorCode, SealpostError } from '#shared/errors.ts';
import { findListeners, sendTestMail } from '../../reports/mail/test-mail.ts';
import { TestListeners, TestMailReply, TestMailRequest } from '../../schemas/test-mail.ts';
import { isHers, userOf } from '../people/bounds.ts';
import { storeOf } from '../people/list.ts';
import { type Asked, route } from '../route.ts';
import { clusterOf } from './cluster.ts';

/** Test messages. What becomes of one is told by `GET /api/messages/:id` and the events `message`. */

export const testMailRoutes = [
  route({
    method: 'GET',
    path: '/api/test-mail/listeners',
    summary: 'The listeners of all nodes that a test message can be sent to',
    access: 'operator',
    domains: 'filtered',
    reply: TestListeners,
    handler: ({ clients }) => findListeners(clusterOf(clients)),
  }),
  route({
    method: 'POST',
    path: '/api/test-mail',
    summary: 'Send a test message through a listener by SMTP, and tell each reply with the reasoning of policy',
    access: 'operator',
    domains: 'filtered',
    perMinute: 20,
    body: TestMailRequest,
    reply: TestMailReply,
    handler: async (context) => {
      const { clients, bounds, body } = context;
      if (!bounds.hasAddress(body.from))
        throw new SealpostError('forbidden', 'the sender of a test message is an address of your domains');
      const sent = await sendTestMail(clients, body);
      return body.login === undefined || (await mayKnow(context, body.login.user)) ? sent : withoutUsers(sent);
    },
  }),
];

/** Whether the reasoning about this user is hers: it tells whether there is such a user, and why one is blocked. */
async function mayKnow(context: Asked, user: string): Promise<boolean> {
  if (context.bounds.domains === undefined) return true;
  try {
    return isHers(context, await userOf(storeOf(context), user));
  } catch (error) {
    if (errorCode(error) !== 'not-found') throw error;
    return false;
  }
}

const withoutUsers = (sent: TestMailReply): TestMailReply => ({
  ...sent,
  steps: sent.steps.map((step) => (step.command.startsWith('AUTH') ? { ...step, why: [] } : step)),
});
