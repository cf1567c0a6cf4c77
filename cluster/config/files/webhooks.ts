import type { Secret } from '#shared/secret.ts';
import { secretProblem } from '#shared/webhooks/signature.ts';
import type { Config } from '../schema/schema.ts';
import { SecretReference } from '../secrets.ts';
import { checkAuthorities } from '../tls-files.ts';
import { add, type FileCheck, place } from './check.ts';

/** The secrets of webhooks, in place, and their authorities. */
export async function checkWebhooks(check: FileCheck): Promise<void> {
  const placed: Config['webhooks'] = [];
  for (const [i, hook] of check.config.webhooks.entries()) {
    const path = ['webhooks', i];
    if (hook.ca !== undefined) add(check, await checkAuthorities([...path, 'ca'], hook.ca));
    const secret = await secretAt(check, [...path, 'secret'], hook.secret);
    const previous = await secretAt(check, [...path, 'previous-secret'], hook['previous-secret']);
    placed.push({
      ...hook,
      ...(secret !== undefined && { secret }),
      ...(previous !== undefined && { 'previous-secret': previous }),
    });
  }
  check.config = { ...check.config, webhooks: placed };
}

async function secretAt(check: FileCheck, path: PropertyKey[], given: Secret | undefined): Promise<Secret | undefined> {
  const secret = await place(check, path, given);
  // What could not be read is a problem already.
  if (secret === undefined || secret instanceof SecretReference) return secret;
  const problem = secretProblem(secret.reveal());
  if (problem !== undefined) {
    const message = `this is not a secret for webhooks, ${problem}: echo "whsec_$(openssl rand -base64 32)" makes one`;
    check.problems.push({ path, message });
  }
  return secret;
}
