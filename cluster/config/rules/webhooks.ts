import { duplicates, type Rule } from './rule.ts';

/** Rules of webhooks: what waits for one is kept under its name. */
export const WEBHOOK_RULES: readonly Rule[] = [
  {
    sections: ['webhooks'],
    check: ({ webhooks }) =>
      duplicates(
        webhooks.map(({ name }) => name),
        (i) => ['webhooks', i, 'name'],
        'webhook',
      ),
  },
];
