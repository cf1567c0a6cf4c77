import type { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { ConsoleSite, type SiteOptions } from './site.ts';

/** A node with a console, and a next hop that does with mail what the local part of a recipient says. */

/** What strangers would like to be more than text, in whatever they can write. */
export const NASTY = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>';

const ANSWERS: Readonly<Record<string, string>> = {
  later: '451 4.7.1 Greylisted, come again',
  bounce: '550 5.1.1 no such user',
  nasty: `451 4.3.0 ${NASTY}`,
};

export type Mail = { from?: string; to?: readonly string[]; subject?: string; text?: string };

export class MailSite implements AsyncDisposable {
  readonly site: ConsoleSite;
  readonly sink: SmtpSink;

  private constructor(site: ConsoleSite, sink: SmtpSink) {
    this.site = site;
    this.sink = sink;
  }

  static async start(options: SiteOptions = {}): Promise<MailSite> {
    const sink = await SmtpSink.start({
      script: ({ verb, address }) => (verb === 'RCPT' ? ANSWERS[address.split(/[@+]/)[0] ?? ''] : undefined),
    });
    try {
      return new MailSite(await ConsoleSite.start({ sink: sink.port, ...options }), sink);
    } catch (error) {
      await sink[Symbol.asyncDispose]();
      throw error;
    }
  }

  get nodes(): [SealpostNode] {
    return this.site.nodes;
  }

  send(mail: Mail = {}): Promise<string> {
    return sendMail(this.site.node.port, mail);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.site[Symbol.asyncDispose]();
    await this.sink[Symbol.asyncDispose]();
  }
}

/** Resolves to its queue id; rejects with the reply where it was refused. */
export async function sendMail(port: number, mail: Mail): Promise<string> {
  const { from = 'alice@example.com', to = ['bob@example.net'], subject = 'Hello', text = 'How are you?' } = mail;
  await using dialog = await Dialog.connect(port);
  await dialog.read();
  const say = async (line: string): Promise<string> => {
    const { code, text: said } = await dialog.command(line);
    if (code >= 400) throw new Error(`${code} ${said}`);
    return said;
  };
  await say('EHLO client.test');
  await say(`MAIL FROM:<${from}>`);
  for (const recipient of to) await say(`RCPT TO:<${recipient}>`);
  await say('DATA');
  const said = await say(
    `From: <${from || 'mailer-daemon@example.com'}>\r\nTo: <${to.join('>, <')}>\r\nSubject: ${subject}\r\nMessage-ID: <${crypto.randomUUID()}@client.test>\r\n\r\n${text}\r\n.`,
  );
  await say('QUIT');
  const id = /[0-9A-HJKMNP-TV-Z]{16}/.exec(said)?.[0];
  if (id === undefined) throw new Error(`no queue id in: ${said}`);
  return id;
}
