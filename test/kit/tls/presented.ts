import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';

/** The certificate that an SMTP server presents after STARTTLS, as `openssl s_client` sees it. */
export async function presentedAt(port: number, serverName?: string): Promise<X509Certificate> {
  const name = serverName === undefined ? ['-noservername'] : ['-servername', serverName];
  const args = ['s_client', '-starttls', 'smtp', '-connect', `127.0.0.1:${port}`, '-showcerts', ...name];
  const child = spawn('openssl', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.end('QUIT\r\n');
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
  const [pem] = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(output) ?? [];
  if (pem === undefined) throw new Error(`no certificate at port ${port}: ${output}`);
  return new X509Certificate(pem);
}
