/** What a peer takes at most (RFC 9422 §4): transactions in a session, recipients in one, and domains of recipients in one. */
export type Limits = { mail: number; recipients: number; domains: number };

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
  limits: Limits;
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
    limits: parseLimits(lines),
    auth: new Set(offered.get('AUTH')),
  };
}

/** A limit that is not written as RFC 9422 §4 has it (1 to 999999), or twice with different values, is none. */
function parseLimits(lines: readonly string[]): Limits {
  const found = new Map<string, number>();
  for (const line of lines.slice(1)) {
    const [keyword, ...words] = line.trim().toUpperCase().split(/ +/);
    if (keyword !== 'LIMITS') continue;
    for (const word of words) {
      const [, name, value] = /^(MAILMAX|RCPTMAX|RCPTDOMAINMAX)=([1-9]\d{0,5})$/.exec(word) ?? [];
      if (name === undefined) continue;
      found.set(name, found.has(name) && found.get(name) !== Number(value) ? Number.POSITIVE_INFINITY : Number(value));
    }
  }
  const limit = (name: string): number => found.get(name) ?? Number.POSITIVE_INFINITY;
  return { mail: limit('MAILMAX'), recipients: limit('RCPTMAX'), domains: limit('RCPTDOMAINMAX') };
}
