import {
  createInbox,
  ErrorCode,
  Events,
  type Msg,
  type NatsConnection,
  NatsError,
  type Publisher,
  type Subscription,
} from 'nats';
import { replyPrefix } from './subjects.ts';
import { atTurnEnd } from './turn-end.ts';

/**
 * Requests of this process over NATS, and their replies.
 *
 * The replies of each service come to a subject of its own, `_INBOX_<user>.<service>.<random>.<number>`. A service may
 * publish there and in no other inbox of its caller, so none can answer in the name of another: the numbers of
 * other calls would be easy to guess. (NATS could let a service answer what reached it, by `allow_responses`. But
 * whoever may publish what it hears itself, as every process does with its heartbeat, chooses the reply subject, and
 * may then publish there whatever it is.)
 */
/** `timeout` in ms. */
type Request = { subject: string; frame: Uint8Array; timeout: number };
type Waiting = { subject: string; resolve: (message: Msg) => void; reject: (error: Error) => void };

export class Replies {
  readonly #user: string | undefined;
  readonly #inboxes = new WeakMap<NatsConnection, Map<string, ReplyInbox>>();

  constructor(user: string | undefined) {
    this.#user = user;
  }

  /** Publish a request to `subject` of `service`; resolves to its reply. Rejects with a `NatsError`. */
  request(connection: NatsConnection, service: string, request: Request): Promise<Msg> {
    return this.#inbox(connection, service).request(request);
  }

  #inbox(connection: NatsConnection, service: string): ReplyInbox {
    let inboxes = this.#inboxes.get(connection);
    if (inboxes === undefined) {
      inboxes = new Map();
      this.#inboxes.set(connection, inboxes);
      void failRefused(connection, inboxes);
    }
    let inbox = inboxes.get(service);
    if (inbox === undefined) {
      inbox = new ReplyInbox(connection, createInbox(replyPrefix(this.#user, service)));
      inboxes.set(service, inbox);
    }
    return inbox;
  }
}

/** Fail the requests that NATS does not permit, of which it says no more than the subject. */
async function failRefused(connection: NatsConnection, inboxes: ReadonlyMap<string, ReplyInbox>): Promise<void> {
  for await (const { type, data, permissionContext: denied } of connection.status()) {
    if (type !== Events.Error || denied?.operation !== 'publish') continue;
    const error = new NatsError(`it refuses to publish on ${denied.subject} (${data})`, ErrorCode.PermissionsViolation);
    for (const inbox of inboxes.values()) inbox.fail(error, denied.subject);
  }
}

class ReplyInbox {
  readonly #connection: Publisher;
  readonly #inbox: string;
  readonly #waiting = new Map<string, Waiting>();
  #count = 0;

  constructor(connection: NatsConnection, inbox: string) {
    this.#connection = connection;
    this.#inbox = inbox;
    const subscription: Subscription = connection.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#arrived(message);
        else this.fail(error);
      },
    });
    void subscription.closed.then(() => this.fail(new NatsError('the connection ended', ErrorCode.Timeout)));
  }

  request({ subject, frame, timeout }: Request): Promise<Msg> {
    const number = String(++this.#count);
    const { promise, resolve, reject } = Promise.withResolvers<Msg>();
    const timer = setTimeout(() => reject(new NatsError('no reply in time', ErrorCode.Timeout)), timeout);
    this.#waiting.set(number, { subject, resolve, reject });
    atTurnEnd(() => {
      try {
        this.#connection.publish(subject, frame, { reply: `${this.#inbox}.${number}` });
      } catch (error) {
        reject(error);
      }
    });
    return promise.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(number);
    });
  }

  /** Fail what waits: all of it, or what was sent to `subject`. */
  fail(error: Error, subject?: string): void {
    for (const waiting of this.#waiting.values()) {
      if (subject === undefined || waiting.subject === subject) waiting.reject(error);
    }
  }

  #arrived(message: Msg): void {
    const waiting = this.#waiting.get(message.subject.slice(this.#inbox.length + 1));
    // A status without data: nothing is subscribed to the subject.
    if (message.data.length === 0 && message.headers?.code === 503) {
      waiting?.reject(new NatsError('nothing serves it', ErrorCode.NoResponders));
    } else waiting?.resolve(message);
  }
}
