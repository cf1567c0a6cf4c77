/** The TXT records at `_mta-sts.<domain>`, by which a domain says that it has a policy (RFC 8461 §3.1). */

/** `id`: of the policy that the domain has now. `none`: it has none. */
export type StsRecord = { id: string } | { none: string | undefined };

const FIELD = '[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[\\x21-\\x3a\\x3c\\x3e-\\x7e]+';
const DELIMITER = '[ \\t]*;[ \\t]*';
const RECORD = new RegExp(`^v=STSv1(?:${DELIMITER}${FIELD})+(?:${DELIMITER})?$`);
const ID = /;[ \t]*id=([^; \t]*)/;
const ID_VALUE = /^[A-Za-z0-9]{1,32}$/;

/** `values`: the TXT records of the name. `none` says why, where there is something that looks like a record. */
export function readStsRecord(values: readonly string[]): StsRecord {
  // What begins otherwise is another record's text.
  const records = values.filter((value) => value.startsWith('v=STSv1;'));
  const [record] = records;
  if (record === undefined) return { none: undefined };
  if (records.length > 1) return { none: `there are ${records.length} records, and only one may begin with v=STSv1` };
  // Of fields of the same name the first counts (§3.2).
  const id = RECORD.test(record) ? ID.exec(record)?.[1] : undefined;
  return id !== undefined && ID_VALUE.test(id) ? { id } : { none: 'the record is not of the form "v=STSv1; id=…"' };
}
