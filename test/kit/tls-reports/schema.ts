import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { tempDir } from '#test/kit/temp.ts';

/** What `checkAgainstSchema` needs: a validator of others. */
export const VALIDATOR = ['python3', '/usr/lib/python3/dist-packages/jsonschema'] as const;

const SCHEMA = fileURLToPath(new URL('report.schema.json', import.meta.url));
/** Formats are checked only where a checker is given. */
const CHECK = `
import json, sys
from jsonschema import Draft7Validator, FormatChecker
schema, report = (json.load(open(path)) for path in sys.argv[1:])
Draft7Validator.check_schema(schema)
errors = [f"{list(e.absolute_path)}: {e.message}" for e in Draft7Validator(schema, format_checker=FormatChecker()).iter_errors(report)]
print("\\n".join(errors))
`;

/** What is wrong with a TLS report by the schema; empty: nothing. */
export async function checkAgainstSchema(json: string): Promise<string> {
  await using folder = await tempDir('tls-report');
  const file = join(folder.path, 'report.json');
  await writeFile(file, json);
  const { stdout } = await promisify(execFile)('/usr/bin/python3', ['-c', CHECK, SCHEMA, file]);
  return stdout.trim();
}
