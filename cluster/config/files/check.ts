import { SealpostError } from '#shared/errors.ts';
import type { Secret } from '#shared/secret.ts';
import type { Problem } from '../problems/problem.ts';
import type { Config } from '../schema/schema.ts';
import { readSecret } from '../secrets.ts';
import type { TlsFindings } from '../tls-files.ts';

/** A configuration whose files and secrets are being looked at, and what was found. */
export type FileCheck = { config: Config; problems: Problem[]; warnings: string[] };

export function add(check: FileCheck, { problems, warnings }: TlsFindings): void {
  check.problems.push(...problems);
  check.warnings.push(...warnings);
}

/** A secret that is named by file or variable, read; as it is when that fails. */
export async function place(
  check: FileCheck,
  path: PropertyKey[],
  secret: Secret | undefined,
): Promise<Secret | undefined> {
  if (secret === undefined) return undefined;
  try {
    const read = await readSecret(secret);
    if (read.warning !== undefined) check.warnings.push(read.warning);
    return read.secret;
  } catch (error) {
    if (!(error instanceof SealpostError)) throw error;
    check.problems.push({ path, message: error.message });
    return secret;
  }
}
