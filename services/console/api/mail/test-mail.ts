import { SealpostError } from '#shared/errors.ts';
import { findListeners, sendTestMail } from '../../reports/mail/test-mail.ts';
import { TestListeners, TestMailReply, TestMailRequest } from '../../schemas/test-mail.ts';
import { route } from '../route.ts';
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
    handler: ({ clients, bounds, body }) => {
      if (!bounds.hasAddress(body.from))
        throw new SealpostError('forbidden', 'the sender of a test message is an address of your domains');
      return sendTestMail(clients, body);
    },
  }),
];
