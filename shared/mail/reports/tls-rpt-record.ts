/** The TXT record at `_smtp._tls.<domain>` by which a domain asks for reports on TLS (RFC 8460 §3). */
export const tlsRptRecordValue = (rua: readonly string[]): string => `v=TLSRPTv1; rua=${rua.join(',')};`;

export const tlsRptRecordName = (domain: string): string => `_smtp._tls.${domain}`;
