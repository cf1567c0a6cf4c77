import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { unreadable } from '#cluster/config/secrets.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';

/**
 * Signers find the key of a domain by a template of its path, `/var/lib/rspamd/dkim/$domain.$selector.key`, and sign for
 * every domain whose file is there. Which these are, only the folder can say.
 *
 * The names that stand for `placeholder` in the paths of files that are there, in order; each file once.
 */
export async function namesInPaths(template: string, placeholder: string): Promise<{ name: string; file: string }[]> {
  const parts = template.split('/');
  const first = parts.findIndex((part) => part.includes(placeholder));
  if (first < 0) return [];
  const [before = '', after = ''] = split(parts[first] ?? '', placeholder);
  const folder = parts.slice(0, first).join('/') || '/';
  const rest = parts.slice(first + 1);
  const found: { name: string; file: string }[] = [];
  for (const entry of await entriesOf(folder)) {
    if (entry.length <= before.length + after.length) continue;
    if (!entry.startsWith(before) || !entry.endsWith(after)) continue;
    const name = entry.slice(before.length, entry.length - after.length);
    const file = join(folder, entry, ...rest.map((part) => part.replaceAll(placeholder, name)));
    if (rest.length === 0 || (await isThere(file))) found.push({ name, file });
  }
  return found;
}

/** What stands before the placeholder and after it. */
function split(part: string, placeholder: string): [string, string] {
  const at = part.indexOf(placeholder);
  return [part.slice(0, at), part.slice(at + placeholder.length)];
}

async function entriesOf(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (errorCode(error) === 'ENOTDIR') throw new SealpostError('file-unreadable', `${folder} is not a folder`);
    throw new SealpostError('file-unreadable', unreadable(folder, error));
  }
}

async function isThere(file: string): Promise<boolean> {
  try {
    return (await readdir(join(file, '..'))).includes(file.slice(file.lastIndexOf('/') + 1));
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return false;
    throw new SealpostError('file-unreadable', unreadable(file, error));
  }
}
