import { parseIp } from '#shared/address/ip-address.ts';
import type { Front } from './contract.ts';

/**
 * Notices that something stands in front of the listeners and hides who the clients are: a gateway that translates
 * addresses, a load balancer without the PROXY protocol. To the relay rules all of the Internet is then one host, perhaps
 * one of a network that may relay.
 *
 * States: nothing seen → one address (all clients so far) → several addresses, for good. While it is one address, that is a
 * front when it is private, 20 sessions have come from it, and it is a gateway of this machine's networks or they gave 10
 * different names: a mail server has one. Names without a dot (the names of containers, of PCs) and clients of this machine
 * do not count.
 */

const SESSIONS = 20;
const NAMES = 10;
/** Kinds of addresses that do not come from the Internet, by the words of ipaddr.js. */
const PRIVATE = new Set(['private', 'uniqueLocal', 'linkLocal', 'carrierGradeNat']);

export class FrontWatch {
  readonly #isGateway: (address: string) => boolean;
  readonly #names = new Set<string>();
  #only: string | undefined;
  #several = false;
  #sessions = 0;
  #found: Front | undefined;

  constructor(isGateway: (address: string) => boolean) {
    this.#isGateway = isGateway;
  }

  /** What stands in front, as far as is known now. */
  get found(): Front | undefined {
    return this.#found && { ...this.#found, sessions: this.#sessions };
  }

  /** A client (its address in canonical form) gave its name. Returns the front when this shows that there is one. */
  saw(address: string, helo: string): Front | undefined {
    if (this.#several) return undefined;
    const range = parseIp(address)?.range() ?? '';
    if (range === 'loopback') return undefined;
    if (!PRIVATE.has(range) || (this.#only !== undefined && this.#only !== address)) {
      this.#several = true;
      this.#found = undefined;
      this.#names.clear();
      return undefined;
    }
    this.#only = address;
    this.#sessions++;
    if (this.#names.size < NAMES && /^[^[.]+\../.test(helo)) this.#names.add(helo.toLowerCase());
    if (this.#found !== undefined || this.#sessions < SESSIONS) return undefined;
    const gateway = this.#isGateway(address);
    if (!gateway && this.#names.size < NAMES) return undefined;
    this.#found = { address, sessions: this.#sessions, names: this.#names.size, gateway };
    return this.#found;
  }
}
