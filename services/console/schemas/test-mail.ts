import { z } from 'zod';
import { MOST_TEST_TEXT } from '#services/listener/contract.ts';
import { TEST_ADDRESS } from '#shared/smtp/test-message.ts';

/** A test message, and what was said about it. */

const address = z.string().max(320).regex(TEST_ADDRESS, 'not a mail address');

export const TestListeners = z.object({
  /** The open listeners of all nodes. */
  listeners: z.array(
    z.object({
      node: z.string(),
      name: z.string(),
      kind: z.enum(['relay', 'submission']),
      port: z.number().int(),
      tls: z.string(),
    }),
  ),
  /** Nodes whose listeners are not known, and why. */
  silent: z.array(z.object({ node: z.string(), error: z.string() })),
});
export type TestListeners = z.infer<typeof TestListeners>;

export const TestMailRequest = z.strictObject({
  node: z.string().min(1).max(64),
  listener: z.string().min(1).max(100),
  from: address,
  to: address,
  subject: z
    .string()
    .max(1000)
    .regex(/^[^\x00-\x1f\x7f-\x9f]*$/, 'control characters are not allowed'),
  text: z.string().max(MOST_TEST_TEXT),
  /** Who logs in, and with which password; an app password will do. */
  login: z.strictObject({ user: z.string().min(1).max(1000), password: z.string().min(1).max(1000) }).optional(),
});
export type TestMailRequest = z.infer<typeof TestMailRequest>;

export const TestMailReply = z.object({
  node: z.string(),
  listener: z.string(),
  kind: z.enum(['relay', 'submission']),
  /** From where the message came: the machine of the listener. */
  client: z.string(),
  steps: z.array(
    z.object({
      /** `connects` is the connection itself. */
      command: z.string(),
      refused: z.boolean(),
      reply: z.array(z.string()),
      /** The reasoning of policy. */
      why: z.array(z.string()),
    }),
  ),
  notes: z.array(z.string()),
  /** Fields that policy had put in front of the message. */
  fields: z.array(z.string()),
  /** What was found out about it; empty where it is not checked, as mail from inside. */
  authentication: z.array(
    z.object({ method: z.string(), result: z.string(), details: z.array(z.string()), reason: z.string().optional() }),
  ),
  tls: z.object({ protocol: z.string(), cipher: z.string(), problem: z.string().optional() }).optional(),
  /** Under which it is followed from here on; absent where it was not accepted. */
  queueId: z.string().optional(),
  /** Why there is no reply to the last command. */
  error: z.string().optional(),
});
export type TestMailReply = z.infer<typeof TestMailReply>;
