import { z } from 'zod';
import { ExplainedMessage } from '#services/policy/contract.ts';
import { parseIp } from '#shared/address/ip-address.ts';
import type { OperationSpec } from '#shared/contract.ts';
import { BodyHash, MOST_BODY_HASHES } from '#shared/mail/authenticity.ts';
import { TEST_ADDRESS } from '#shared/smtp/test-message.ts';

/** What operators ask about a session: what a client would be told, and a message that is really sent. */

/** Text for a line of SMTP. */
const oneLine = z
  .string()
  .max(1000)
  .regex(/^[^\x00-\x1f\x7f-\x9f]*$/, 'control characters are not allowed');

const SessionStep = z.object({
  /** The command; '' for the connection itself. */
  command: z.string(),
  code: z.number().int(),
  /** The lines of the reply, each with its code. */
  reply: z.array(z.string()),
  /** The reasoning of policy, where it was asked. */
  why: z.array(z.string()),
});

/** Characters of the text of a test message. */
export const MOST_TEST_TEXT = 8000;

/** Bytes of the header of a message that is explained. */
export const LONGEST_HEADER = 2 << 20;

export const sessionOperations = {
  /**
   * What a client would be told that asked to send one message to one recipient (explain.ts), and of the message itself
   * where it is given. No mail is taken and nothing is counted. It uses TLS where it can, and the user has the right
   * password. Ends at the first refusal.
   */
  'session-explain': {
    repeatable: true,
    errors: ['not-found'],
    request: z.object({
      /** Its address. */
      client: z.string().refine((text) => parseIp(text) !== undefined, 'not an IP address'),
      /** The name that it gives; its address literal by default. */
      helo: oneLine.optional(),
      /** Without angle brackets; '' is the null reverse-path. */
      from: oneLine.optional(),
      to: oneLine,
      user: oneLine.optional(),
      /** Default: the first one that suits. */
      listener: z.string().optional(),
      /** The message that it sends, without its body (`message-file.ts` of the command line reads it). */
      message: z
        .object({
          /** The header block with its empty line; latin1. */
          header: z.string().max(LONGEST_HEADER),
          /** Bytes of the whole message. */
          size: z.number().int().nonnegative(),
          bodyHashes: z.array(BodyHash).max(MOST_BODY_HASHES),
          defect: z.enum(['bare-cr', 'nul']).optional(),
        })
        .optional(),
    }),
    reply: z.object({
      node: z.string(),
      listener: z.string(),
      kind: z.enum(['relay', 'submission']),
      steps: z.array(SessionStep),
      /** What else is to know of the address of the client. */
      notes: z.array(z.string()),
      /** What policy says of the message, where it was asked. */
      message: ExplainedMessage.optional(),
    }),
  },
  /**
   * Send a test message to a listener of this process by SMTP (test-mail.ts), as a client on its machine, and tell each
   * reply with the reasoning of policy. With `user` the password travels as the request's bytes (UTF-8).
   */
  'test-send': {
    errors: ['not-found'],
    request: z.object({
      listener: z.string().max(100),
      from: z.string().max(320).regex(TEST_ADDRESS),
      to: z.string().max(320).regex(TEST_ADDRESS),
      subject: oneLine,
      text: z.string().max(MOST_TEST_TEXT),
      user: oneLine.optional(),
    }),
    bytes: 'request',
    reply: z.object({
      node: z.string(),
      listener: z.string(),
      kind: z.enum(['relay', 'submission']),
      /** Its own address, as the client that the listener sees. */
      client: z.string(),
      steps: z.array(SessionStep),
      notes: z.array(z.string()),
      /** What policy says of the message. */
      message: ExplainedMessage.optional(),
      /** `problem`: why the certificate is not valid for the name of this machine. */
      tls: z.object({ protocol: z.string(), cipher: z.string(), problem: z.string().optional() }).optional(),
      /** Absent where it was not accepted. */
      queueId: z.string().optional(),
      /** Why there is no reply to the last command. */
      error: z.string().optional(),
    }),
    timeout: 60_000,
    audited: ({ listener, from, to }: { listener: string; from: string; to: string }) =>
      `test message from ${from} to ${to}, at listener ${listener}`,
  },
} as const satisfies Record<string, OperationSpec>;
