import { readFile, stat } from 'node:fs/promises';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { Secret } from '#shared/secret.ts';

export type SecretSource = { file: string } | { env: string };

/**
 * A secret that the configuration names but that was not read yet. The loader puts the text in its place before
 * the configuration is in force; a reference that is revealed nevertheless is a bug.
 */
export class SecretReference extends Secret {
  readonly source: SecretSource;

  constructor(source: SecretSource) {
    super('');
    this.source = source;
  }

  override reveal(): string {
    throw new Error(`${describeSource(this.source)} was not read`);
  }
}

/** A secret that was read, and from where. */
class PlacedSecret extends Secret {
  readonly source: SecretSource;

  constructor(value: string, source: SecretSource) {
    super(value);
    this.source = source;
  }
}

/** Where a secret comes from; undefined where its text stands in the configuration itself. */
export function sourceOf(secret: Secret): SecretSource | undefined {
  return secret instanceof SecretReference || secret instanceof PlacedSecret ? secret.source : undefined;
}

/** `file ./secret` or `environment variable X`: where a secret comes from, for people. */
export function describeSource(source: SecretSource): string {
  return 'file' in source ? `file ${source.file}` : `environment variable ${source.env}`;
}

/**
 * The secret itself, with a warning when others on the machine can read its file. One trailing line break is not
 * part of it. Fails with `secret-missing` when the file or variable does not exist or is empty, and with
 * `secret-unreadable` when the file is there but cannot be read.
 */
export async function readSecret(secret: Secret): Promise<{ secret: Secret; warning?: string }> {
  if (!(secret instanceof SecretReference)) return { secret };
  const { source } = secret;
  const text = 'file' in source ? await readText(source.file) : process.env[source.env];
  if (text === undefined) {
    throw new SealpostError('secret-missing', `${describeSource(source)} is not set: set it before the start`);
  }
  const value = text.replace(/\r?\n$/, '');
  if (value === '') throw new SealpostError('secret-missing', `${describeSource(source)} is empty`);
  const warning = 'file' in source ? await modeWarning(source.file) : undefined;
  return { secret: new PlacedSecret(value, source), ...(warning !== undefined && { warning }) };
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const missing = errorCode(error) === 'ENOENT';
    throw new SealpostError(missing ? 'secret-missing' : 'secret-unreadable', unreadable(file, error));
  }
}

/** Why a file cannot be read, as one sentence with what to do. */
export function unreadable(file: string, error: unknown): string {
  switch (errorCode(error)) {
    case 'ENOENT':
      return `file ${file} does not exist`;
    case 'EACCES':
      return `file ${file} cannot be read: this process (uid ${process.getuid?.() ?? '?'}) has no permission`;
    case 'EISDIR':
      return `${file} is a folder, a file is needed`;
    default:
      return `file ${file} cannot be read: ${errorText(error)}`;
  }
}

/** A warning when every user of the machine can read or write a file that holds a secret. */
export async function modeWarning(file: string): Promise<string | undefined> {
  const may = everybodyMay((await stat(file)).mode);
  return may === undefined ? undefined : `file ${file} ${may}: chmod 600 ${file}`;
}

/** What the mode of a file lets every user of the machine do with it; undefined: nothing. */
export function everybodyMay(mode: number): string | undefined {
  const may = [...((mode & 0o004) === 0 ? [] : ['read']), ...((mode & 0o002) === 0 ? [] : ['written'])];
  return may.length === 0 ? undefined : `can be ${may.join(' and ')} by every user of this machine`;
}
