/**
 * Header fields of a message as raw text (RFC 5322 §2.2). Everything here works on 'latin1' strings, one
 * character a byte, so that a signature covers exactly the bytes that travel.
 */

/** One field: its lower-case name and its raw text, folds included, with the final CRLF. */
export type HeaderField = { name: string; raw: string };

/**
 * Split a header block (ends before or at the empty line) into fields, in order.
 * A line that opens no field and folds none belongs to the field before it: so nothing is lost or hidden.
 */
export function splitHeader(block: string): HeaderField[] {
  const fields: HeaderField[] = [];
  for (const line of block.split(/(?<=\r\n)/)) {
    if (line === '' || line === '\r\n') break;
    const name = /^([\x21-\x39\x3b-\x7e]+)[ \t]*:/.exec(line)?.[1];
    const last = fields.at(-1);
    if (name !== undefined) fields.push({ name: name.toLowerCase(), raw: line });
    else if (last !== undefined) last.raw += line;
    else fields.push({ name: '', raw: line });
  }
  return fields;
}

/** The value of a field: unfolded, without name and surrounding white space. */
export function fieldValue(field: HeaderField): string {
  return field.raw
    .slice(field.raw.indexOf(':') + 1)
    .replace(/\r\n(?=[ \t])/g, '')
    .trim();
}

/**
 * Fold a field at white space so that no line is longer than 78 characters where that is possible (RFC 5322 §2.1.1).
 * White space at the end is left out: on a line of its own some readers would take it for the end of the header.
 */
export function foldField(name: string, value: string): string {
  let line = `${name}:`;
  const lines: string[] = [];
  for (const word of value.trimEnd().split(' ')) {
    if (line.length + 1 + word.length > 78 && line.trim() !== '' && line !== `${name}:`) {
      lines.push(line);
      line = `\t${word}`;
    } else {
      line += ` ${word}`;
    }
  }
  lines.push(line);
  return `${lines.join('\r\n')}\r\n`;
}

/**
 * A date-time (RFC 5322 §3.3) in UTC, to the second below: `Thu, 29 Feb 2024 23:59:59 +0000`. Numbers are ms since
 * 1970.
 */
export function rfc5322Date(time: Date | number): string {
  return new Date(time).toUTCString().replace('GMT', '+0000');
}

/** RFC 5322 §3.6.4, and what real mail has in its place: anything in angle brackets, on the line of the field or after a fold. */
const MESSAGE_ID = /^message-id[ \t]*:[ \t]*(?:\r\n[ \t]+)?(<[^<>\r\n]{1,900}>)/im;

/** The Message-ID that a header block names, with its angle brackets; undefined where it has none. */
export function messageIdOf(header: string): string | undefined {
  return MESSAGE_ID.exec(header)?.[1];
}
