import type { Msg } from 'nats';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import type { Address, BusHandler, BusReply, BusRequest } from './bus.ts';
import { decodeRequest, encodeReply } from './frame.ts';
import { failure, type LocalBus } from './local-bus.ts';
import type { NatsLink } from './nats-connection.ts';
import { isDeclined, label } from './nats-requests.ts';
import { callerOf, connectionName, isInbox, operationSubject } from './subjects.ts';
import { atTurnEnd } from './turn-end.ts';
import type { Turns } from './turns.ts';

/** Requests that come in over NATS: the subjects on which an operation hears them, and the answers. */

/**
 * How long an instance that answered `elsewhere` stays out of its service's shared mailbox: enough for the caller to ask
 * the others, and little where there are none.
 */
const ASIDE_MS = 50;

/**
 * How long a subject is left that is flooded: one turn of the event loop tells that it is, so a flood costs a hundredth of
 * the time.
 */
const FLOODED_MS = 1000;

/** Stop hearing a subject for so many milliseconds. */
type Leave = (ms: number) => void;

const BUSY = encodeReply({
  ...{ ok: false, code: CALL_ERRORS.busy, elsewhere: true },
  message: 'requests come faster than this process takes them up',
});

export type MailboxDeps = {
  /** The node's name, by which its instances can be asked. */
  node: string;
  link: NatsLink;
  /** The table of this process's handlers. */
  local: LocalBus;
  log: Logger;
  /** Those of the process, for all that comes over its connection. */
  turns: Turns;
  /** Longest message in bytes that NATS carries now. */
  maxPayload: () => number;
};

export class NatsMailboxes {
  readonly #deps: MailboxDeps;
  /** Others can send what is no request at any rate. */
  readonly #rubbish = new LimitedLog();
  readonly #refusals = new LimitedLog();

  constructor(deps: MailboxDeps) {
    this.#deps = deps;
  }

  /**
   * Serve an operation in this process, for the node's name, for the process's id and its connection, and as one of all
   * instances.
   *
   * Callers ask by the name of the connection where they can (instances.ts), so this one is always heard. The other
   * subjects are left for a moment when they are flooded: a subject without subscriber costs the NATS server alone, while
   * what has come over the connection must be read, and a flood comes faster than a process reads.
   */
  serve(address: Address, handler: BusHandler): () => void {
    const { local, link, node } = this.#deps;
    const stopLocal = local.serve(address, handler);
    const stopConnection = link.subscribe(
      (connection) => operationSubject(address, connectionName(local.process, connection)),
      address.service,
      (message) => this.#arrived(address, message),
    );
    const subjects = [node, local.process].map((name) => operationSubject(address, name));
    const stopNamed = subjects.map((subject) =>
      this.#hear(address, subject, (message, leave) => this.#arrived(address, message, { leave })),
    );
    // The server chooses which instance it asks, and shall not choose one that sends the caller elsewhere.
    const stopShared = this.#hear(address, operationSubject(address), (message, leave) =>
      this.#arrived(address, message, { leave, stepAside: () => leave(ASIDE_MS) }),
    );
    return () => {
      for (const stop of [...stopNamed, stopShared, stopConnection]) stop();
      stopLocal();
    };
  }

  /** Hear a subject, except while it is left. */
  #hear({ service }: Address, subject: string, arrived: (message: Msg, leave: Leave) => void): () => void {
    let timer: NodeJS.Timeout | undefined;
    let stopped = false;
    const subscribe = (): (() => void) =>
      this.#deps.link.subscribe(subject, service, (message) => arrived(message, leave));
    const leave = (ms: number): void => {
      if (stopped || timer !== undefined) return;
      stop();
      timer = setTimeout(() => {
        timer = undefined;
        stop = subscribe();
      }, ms).unref();
    };
    let stop = subscribe();
    return () => {
      stopped = true;
      if (timer === undefined) stop();
      else clearTimeout(timer);
    };
  }

  /** Answer a request when it is its caller's turn; `stepAside` is called before an answer that sends it elsewhere. */
  #arrived(address: Address, message: Msg, { leave, stepAside }: { leave?: Leave; stepAside?: () => void } = {}): void {
    const { reply: replyTo = '' } = message;
    if (!isInbox(replyTo)) {
      if (this.#deps.turns.refuse() === 'dropped') leave?.(FLOODED_MS);
      const operation = label(address);
      const wants = replyTo === '' ? 'no reply' : 'its reply on a subject that is not an inbox';
      this.#rubbish.say(`${operation} ${wants}`, (repeated) =>
        this.#deps.log.warn(
          { operation, replyTo, ...repeated },
          `dropped a request that wants ${wants}: find out what publishes on this subject`,
        ),
      );
      return;
    }
    const take = (): void => void this.#answer(address, message, stepAside);
    const turn = this.#deps.turns.add({ caller: callerOf(replyTo), bytes: message.data.length, take });
    if (turn === 'waits') return;
    this.#refusals.say('', (repeated) =>
      this.#deps.log.warn(
        { operation: label(address), caller: callerOf(replyTo), ...repeated },
        'requests refused as busy: they come faster than this process takes them up',
      ),
    );
    if (turn === 'refused') this.#send(address, message, BUSY);
    else leave?.(FLOODED_MS);
  }

  /** Never rejects. */
  async #answer(address: Address, message: Msg, stepAside?: () => void): Promise<void> {
    const operation = label(address);
    const { reply: replyTo = '' } = message;
    let request: BusRequest;
    try {
      request = { ...decodeRequest(message.data), caller: callerOf(replyTo) };
    } catch (error) {
      const text = errorText(error);
      this.#rubbish.say(`${operation} ${callerOf(replyTo)}`, (repeated) =>
        this.#deps.log.warn({ operation, error: text, ...repeated }, 'malformed request refused'),
      );
      this.#respond(address, message, { ok: false, code: CALL_ERRORS.malformed, message: `${operation}: ${text}` });
      return;
    }
    const reply = await this.#deps.local.take(address, request);
    if (isDeclined(reply)) stepAside?.();
    this.#respond(address, message, reply);
  }

  #respond(address: Address, message: Msg, reply: BusReply): void {
    this.#send(address, message, this.#encodeReply(address, reply));
  }

  #send(address: Address, message: Msg, frame: Uint8Array): void {
    atTurnEnd(() => {
      try {
        message.respond(frame);
      } catch (error) {
        // The connection that brought the request is gone; its caller has had `timeout` already.
        this.#deps.log.warn({ operation: label(address), error: errorText(error) }, 'a reply could not be sent');
      }
    });
  }

  /** The reply as a frame that NATS carries; where that cannot be, an error that says so. */
  #encodeReply(address: Address, reply: BusReply): Uint8Array {
    try {
      const frame = encodeReply(reply);
      if (frame.length <= this.#deps.maxPayload()) return frame;
      const text = `a reply of ${frame.length} bytes from ${label(address)} is larger than NATS carries (${this.#deps.maxPayload()})`;
      return encodeReply(failure(new SealpostError(CALL_ERRORS.tooLarge, text)));
    } catch (error) {
      this.#deps.log.error({ operation: label(address), error: errorText(error) }, 'a reply cannot be written as JSON');
      const text = `${label(address)}: the reply cannot be written as JSON: ${errorText(error)}`;
      return encodeReply(failure(new SealpostError(CALL_ERRORS.internal, text)));
    }
  }
}
