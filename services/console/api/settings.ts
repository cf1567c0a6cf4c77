import { stringify } from 'yaml';
import { parseConfig } from '#cluster/config/load.ts';
import { formatPath } from '#cluster/config/problems/problem.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { findEntries } from '../reports/audit/entries.ts';
import { describeError } from '../reports/describe-error.ts';
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
      // A `Secret` shows `[secret]` as JSON.
      text: stringify(JSON.parse(JSON.stringify(config)), { lineWidth: 0 }),
    }),
  }),
  route({
    method: 'POST',
    path: '/api/settings/check',
    summary: 'What is wrong with a configuration, without the files that it names; nothing is changed',
    access: 'viewer',
    body: SettingsCheck,
    reply: SettingsChecked,
    bodyLimit: 1024 * 1024,
    handler: async ({ body }) => {
      const loaded = await parseConfig(body.text, '/', { files: false });
      const problems = loaded.ok ? [] : loaded.problems;
      return {
        problems: problems.map(({ path, line, message }) => ({ path: formatPath(path), line, message })),
        warnings: loaded.warnings,
      };
    },
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
