/**
 * The words of the milter protocol, version 6, as libmilter of sendmail 8.14 and later speaks it (mfdef.h, mfapi.h; there is
 * no RFC): a packet is its length in four bytes, one letter, and data.
 */

export const VERSION = 6;

/** What we say. */
export const COMMAND = {
  negotiate: 'O',
  macros: 'D',
  connect: 'C',
  helo: 'H',
  mail: 'M',
  rcpt: 'R',
  data: 'T',
  header: 'L',
  endOfHeader: 'N',
  body: 'B',
  endOfBody: 'E',
  quit: 'Q',
} as const;
export type Command = (typeof COMMAND)[keyof typeof COMMAND];

/**
 * Changes that a milter may announce: all that Postfix offers. Most milters announce more than they do, and libmilter hangs up
 * where that is not offered. Fields of the header and quarantine are done; the message of one that then does ask for
 * something of `UNABLE` is in trouble.
 */
export const ACTIONS = 0xff;

/** Changes that cannot be done: body and recipients are at the router when they are asked for. By their letter. */
export const UNABLE: { readonly [code in string]?: string } = {
  b: 'replace the body',
  '+': 'add a recipient',
  '2': 'add a recipient',
  '-': 'delete a recipient',
  e: 'change the reverse-path',
};

/** A milter may do without a command (`omit`), or does not answer it (`silent`): a bit each. */
export const STEPS: { readonly [command in Command]?: { omit: number; silent: number } } = {
  [COMMAND.connect]: { omit: 0x01, silent: 0x1000 },
  [COMMAND.helo]: { omit: 0x02, silent: 0x2000 },
  [COMMAND.mail]: { omit: 0x04, silent: 0x4000 },
  [COMMAND.rcpt]: { omit: 0x08, silent: 0x8000 },
  [COMMAND.body]: { omit: 0x10, silent: 0x80000 },
  [COMMAND.header]: { omit: 0x20, silent: 0x80 },
  [COMMAND.endOfHeader]: { omit: 0x40, silent: 0x40000 },
  [COMMAND.data]: { omit: 0x200, silent: 0x10000 },
};

/** It need not be told of commands that are not known, of which it would never hear here (`U`). */
const NO_UNKNOWN = 0x100 | 0x20000;
/** It may say that it needs no more of the body. */
export const SKIP = 0x400;
/** Values of fields come and go with the white space after the colon. */
export const LEADING_SPACE = 0x100000;

export const PROTOCOL: number = Object.values(STEPS).reduce(
  (bits, { omit, silent }) => bits | omit | silent,
  NO_UNKNOWN | SKIP | LEADING_SPACE,
);

/** Data in one packet: libmilter hangs up at more (MILTER_CHUNK_SIZE). */
export const MOST_DATA = 65_535;
