import { isIP } from 'node:net';
import { z } from 'zod';
import { port, secret } from '../values.ts';

/** Where Prometheus reads what a process counts. */
export const metricsSection = z
  .strictObject({
    address: z
      .string()
      .refine((a) => isIP(a) !== 0, 'not an IP address')
      .default('127.0.0.1')
      .describe('address that metrics are served on; :: means every address, IPv4 too'),
    port: port.default(9464).describe('port of it'),
    token: secret
      .optional()
      .describe(
        'what a client shows as bearer token, needed off the loopback interface: the text, { file: … } or { env: … }',
      ),
  })
  .optional()
  .describe('metrics for Prometheus, at /metrics of each process; absent: none');
