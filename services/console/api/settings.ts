import { stringify } from 'yaml';
import { shownUrl } from '#cluster/config/comparison/changes.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { findEntries } from '../reports/audit/entries.ts';
import { describeError } from '../reports/describe-error.ts';
import { tryConfig } from '../reports/settings/try.ts';
import { AuditQuery, AuditReply, SettingsCheck, SettingsChecked, SettingsReply } from '../schemas/settings.ts';
import { route } from './route.ts';

/** The configuration of this node, and the audit log of the cluster. Files are changed on the machines alone. */

export const settingsRoutes = [
  route({
    method: 'GET',
    path: '/api/settings',
    summary: 'The configuration in force at the node of this console, with all defaults and without secrets',
    access: 'viewer',
    reply: SettingsReply,
    handler: ({ config }) => ({
      node: config.node.name,
      text: stringify(JSON.parse(JSON.stringify(shown(config))), { lineWidth: 0 }),
    }),
  }),
  route({
    method: 'POST',
    path: '/api/settings/check',
    summary:
      'What is wrong with a configuration, without the files that it names, and what it would change at the node of this console; nothing is changed',
    access: 'viewer',
    body: SettingsCheck,
    reply: SettingsChecked,
    bodyLimit: 1024 * 1024,
    handler: ({ body, ...asked }) => tryConfig(body.text, asked),
  }),
  route({
    method: 'GET',
    path: '/api/audit',
    summary: 'Who changed what and when, on all nodes, newest first',
    access: 'viewer',
    query: AuditQuery,
    reply: AuditReply,
    handler: async ({ clients, query: { limit, ...search } }) => {
      const { entries, more, silent } = await findEntries(clients, search, limit);
      const reason = (error: unknown): string =>
        error instanceof SealpostError ? describeError(error) : errorText(error);
      return { entries, more, silent: silent.map(({ node, error }) => ({ node, reason: reason(error) })) };
    },
  }),
];

/** A `Secret` shows `[secret]` as JSON. */
function shown(config: Config): object {
  const webhooks = config.webhooks.map((webhook) => ({ ...webhook, url: shownUrl(webhook.url) }));
  return { ...config, webhooks };
}
