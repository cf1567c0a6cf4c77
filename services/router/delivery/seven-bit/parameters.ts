/** A parameter of Content-Type or Content-Disposition (RFC 2045 §5.1): its value, and how it was written. */
export type Parameter = { name: string; value: string; text: string };

const PARAMETER = /;[ \t]*(?:([^ \t=;"]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^ \t;"]*))[ \t]*)?/sy;

/** What stands before the first parameter, and the parameters; undefined when they cannot be read. `value` is unfolded. */
export function parseParameters(value: string): { head: string; parameters: Parameter[] } | undefined {
  const start = value.indexOf(';');
  if (start < 0) return { head: value, parameters: [] };
  const parameters: Parameter[] = [];
  PARAMETER.lastIndex = start;
  while (PARAMETER.lastIndex < value.length) {
    const match = PARAMETER.exec(value);
    if (match === null) return undefined;
    const [text, name, quoted, token = ''] = match;
    if (name === undefined) continue;
    parameters.push({
      name: name.toLowerCase(),
      value: quoted?.replace(/\\(.)/gs, '$1') ?? token,
      text: text.slice(1).trim(),
    });
  }
  return { head: value.slice(0, start), parameters };
}

/** The value of a raw field on one line. Not `fieldValue`: a byte may be 0xA0, which `trim` takes for a space. */
export function unfold(raw: string): string {
  return raw.slice(raw.indexOf(':') + 1).replace(/\r\n/g, '');
}
