import type { Lookup } from 'mailauth/lib/tools.js';
import { errorCode } from '#shared/errors.ts';

/**
 * Questions to DNS about one message. Each method (SPF; the keys of DKIM and ARC; DMARC) has a number of its own, so that a
 * stranger's SPF record does not use up those that DMARC needs to protect the author's domain.
 *
 * A question is asked once, whoever of the method asks it again. Nobody waits after the deadline, and what is more than
 * `most` is not asked: both fail as a name server does that does not answer, which is `temperror` to every method.
 */
export function questions(lookup: Lookup, most: number, deadline: Deadline): Lookup {
  const asked = new Map<string, ReturnType<Lookup>>();
  return (name, type) => {
    const key = `${type} ${name}`;
    const known = asked.get(key);
    if (known !== undefined) return known;
    const answer = asked.size < most ? deadline.before(lookup(name, type)) : Promise.reject(tooMany(most));
    // Several may wait for it, or nobody any more.
    answer.catch(() => undefined);
    if (asked.size < most) asked.set(key, answer);
    return answer;
  };
}

/** The same, and `note` is called where the resolver has too many questions to take one more. */
export function whenBusy(lookup: Lookup, note: () => void): Lookup {
  return async (name, type) => {
    try {
      return await lookup(name, type);
    } catch (error) {
      if (errorCode(error) === 'EBUSY') note();
      throw error;
    }
  };
}

/** A moment after which nothing is waited for. */
export class Deadline implements Disposable {
  readonly #late: Promise<never>;
  readonly #timer: NodeJS.Timeout;

  constructor(ms: number) {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => undefined);
    this.#late = promise;
    this.#timer = setTimeout(() => reject(dnsError(`no answer within ${ms} ms`)), ms);
  }

  before<T>(answer: Promise<T>): Promise<T> {
    return Promise.race([answer, this.#late]);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

function tooMany(most: number): Error {
  return dnsError(`more than ${most} questions to DNS`);
}

function dnsError(text: string): Error {
  return Object.assign(new Error(text), { code: 'ETIMEOUT' });
}
