/** What a peer offers in its answer to EHLO or LHLO (RFC 5321 §4.1.1.1). All false after HELO. */
export type Extensions = {
  pipelining: boolean;
  chunking: boolean;
  startTls: boolean;
  eightBitMime: boolean;
  smtpUtf8: boolean;
  dsn: boolean;
  requireTls: boolean;
  /** Whether MAIL takes SIZE=, and the largest message in bytes; 0: no fixed limit (RFC 1870 §4). */
  size: { offered: boolean; limit: number };
  /** SASL mechanisms in upper case. */
  auth: ReadonlySet<string>;
};

/** Read the lines of the reply to EHLO; the first one is the peer's name. Unknown and malformed ones are ignored. */
export function parseExtensions(lines: readonly string[]): Extensions {
  const offered = new Map<string, string[]>();
  for (const line of lines.slice(1)) {
    // Servers older than RFC 2554 wrote `AUTH=PLAIN`; some still send both.
    const [keyword = '', ...words] = line.trim().toUpperCase().split(/[ =]+/);
    offered.set(keyword, [...(offered.get(keyword) ?? []), ...words]);
  }
  const limit = offered.get('SIZE')?.[0] ?? '';
  return {
    pipelining: offered.has('PIPELINING'),
    chunking: offered.has('CHUNKING'),
    startTls: offered.has('STARTTLS'),
    eightBitMime: offered.has('8BITMIME'),
    smtpUtf8: offered.has('SMTPUTF8'),
    dsn: offered.has('DSN'),
    requireTls: offered.has('REQUIRETLS'),
    size: { offered: offered.has('SIZE'), limit: /^\d{1,15}$/.test(limit) ? Number(limit) : 0 },
    auth: new Set(offered.get('AUTH')),
  };
}
