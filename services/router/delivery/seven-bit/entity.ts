import { fieldValue, type HeaderField, splitHeader } from '#shared/mail/header.ts';
import { parseParameters, unfold } from './parameters.ts';

/** What the header of a MIME entity says of its content (RFC 2045 §5, §6; RFC 2046 §5). */

export type Entity = {
  fields: readonly HeaderField[];
  /** It is the header of a message: of the whole one, or of one inside. */
  isMessage: boolean;
  /** `multipart` and `message` hold entities and carry no encoding themselves (RFC 2045 §6.4). */
  kind: 'leaf' | 'multipart' | 'message';
  /** In lower case; undefined: it names none. */
  type: string | undefined;
  /** Of a multipart. */
  boundary: string;
  /** Why its content cannot be encoded. */
  problem: string | undefined;
};

/** Longer ones than the 70 characters of RFC 2046 §5.1.1 occur. */
const LONGEST_BOUNDARY = 200;

const TYPE = /^([!#$%&'*+\-.^_`{|}~\w]+\/[!#$%&'*+\-.^_`{|}~\w]+)[ \t]*/;

/** `block`: a header block as latin1, with or without the empty line. `digest`: it is a part of a multipart/digest. */
export function parseEntity(block: string, isMessage: boolean, digest: boolean): Entity {
  const fields = splitHeader(block);
  const types = fields.filter((f) => f.name === 'content-type');
  const encodings = fields.filter((f) => f.name === 'content-transfer-encoding');
  const value = types[0] === undefined ? '' : unfold(types[0].raw).trimStart();
  const named = TYPE.exec(value)?.[1]?.toLowerCase();
  // RFC 2046 §5.1.5
  const type = named ?? (digest && types.length === 0 ? 'message/rfc822' : undefined);
  const encoding = encodings[0] === undefined ? '7bit' : fieldValue(encodings[0]).toLowerCase();
  const entity: Entity = { fields, isMessage, kind: 'leaf', type, boundary: '', problem: undefined };
  if (types.length > 1 || encodings.length > 1) entity.problem = 'a part of it has two types or two encodings';
  else if (fields.some(isMalformed)) entity.problem = 'a header in it has a line that is no field';
  else if (!['7bit', '8bit', 'binary'].includes(encoding))
    entity.problem = `a part of it has 8-bit content in ${encoding}`;
  else if (type === 'message/rfc822') entity.kind = 'message';
  else if (type?.startsWith('multipart/') === true) {
    entity.boundary = boundaryOf(value) ?? '';
    if (entity.boundary === '') entity.problem = 'a multipart of it has no boundary that can be read';
    else entity.kind = 'multipart';
  }
  return entity;
}

/** A line that opens no field and folds none ends the header for some readers, and not for others. */
function isMalformed({ name, raw }: HeaderField): boolean {
  return name === '' || /\r\n(?![ \t]|$)/.test(raw);
}

function boundaryOf(value: string): string | undefined {
  const boundaries = parseParameters(value)?.parameters.filter(({ name }) => name === 'boundary') ?? [];
  const boundary = boundaries[0]?.value ?? '';
  // RFC 2046 §5.1.1: it does not end with a space.
  const usable = boundary.length <= LONGEST_BOUNDARY && /^[\x20-\x7e]*[\x21-\x7e]$/.test(boundary);
  return usable && boundaries.length === 1 ? boundary : undefined;
}
