import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * A TCP proxy on loopback in front of an SMTP or LMTP server, which passes on what each side says and how it ends, and
 * keeps a record of it: so that a test knows of each transaction what the server had, and what it answered.
 */

/** A message that the server had to its end. `code`: of its reply; undefined where none came. */
export type HandedOver = { recipients: string[]; subject: string; code: number | undefined };

type Conversation = { client: Buffer[]; server: Buffer[] };

export class RecordingProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #conversations: Conversation[] = [];

  private constructor(target: number) {
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (near) => {
      const far = connect({ port: target, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
      const conversation: Conversation = { client: [], server: [] };
      this.#conversations.push(conversation);
      this.#pass(near, far, conversation.client);
      this.#pass(far, near, conversation.server);
    });
  }

  static async start(target: number): Promise<RecordingProxy> {
    const proxy = new RecordingProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Every message that the server had to its end, in the order of the connections. */
  get handedOver(): HandedOver[] {
    return this.#conversations.flatMap(({ client, server }) =>
      transactions(Buffer.concat(client).toString('latin1'), codes(Buffer.concat(server).toString('latin1'))),
    );
  }

  #pass(from: Socket, to: Socket, record: Buffer[]): void {
    this.#sockets.add(from);
    from.on('data', (bytes: Buffer) => {
      record.push(bytes);
      to.write(bytes);
    });
    from.on('end', () => to.end());
    // A reset is passed on as one: it says that not all was read.
    from.on('error', () => to.resetAndDestroy());
    from.on('close', () => this.#sockets.delete(from));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** The codes of the replies, in order. */
function codes(said: string): number[] {
  return [...said.matchAll(/^(\d{3})(?: .*)?\r\n/gm)].map(([, code]) => Number(code));
}

/** What the client said, read with the replies that it got: the first one is the greeting. */
function transactions(said: string, replies: readonly number[]): HandedOver[] {
  const found: HandedOver[] = [];
  let at = 0;
  let reply = 1;
  let recipients: string[] = [];
  let content = '';
  const end = (bytes: string): void => {
    content += bytes;
    const subject = /^Subject: (.*?)\r$/m.exec(content)?.[1] ?? '';
    if (recipients.length > 0) found.push({ recipients, subject, code: replies[reply] });
    [recipients, content] = [[], ''];
  };
  for (let stop = said.indexOf('\r\n', at); stop >= 0; stop = said.indexOf('\r\n', at)) {
    const line = said.slice(at, stop);
    at = stop + 2;
    const code = replies[reply];
    const chunk = /^BDAT (\d+)( LAST)?$/.exec(line);
    if (chunk !== null) {
      const bytes = said.slice(at, at + Number(chunk[1]));
      at += bytes.length;
      if (bytes.length < Number(chunk[1])) break;
      if (chunk[2] === undefined) content += bytes;
      else end(bytes);
    } else if (line.startsWith('MAIL ') || line === 'RSET') {
      [recipients, content] = [[], ''];
    } else if (line.startsWith('RCPT ')) {
      // Where no reply came, the server may have taken it.
      if (code === undefined || code < 300) recipients.push(/<(.*?)>/.exec(line)?.[1] ?? '');
    } else if (line === 'DATA' && code === 354) {
      reply++;
      const dot = said.indexOf('\r\n.\r\n', at - 2);
      if (dot < 0) break;
      const bytes = said.slice(at, dot + 2);
      at = dot + 5;
      end(bytes);
    }
    reply++;
  }
  return found;
}
