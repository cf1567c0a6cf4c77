import type { Config } from '#cluster/config/schema/schema.ts';
import { canonicalAddress, withoutTag } from '#shared/address/canonical-address.ts';
import { decodedWords } from '#shared/mail/encoded-words.ts';
import { fieldValue, type HeaderField } from '#shared/mail/header.ts';
import type { MessageTls } from '#shared/mail/message-tls.ts';
import { MailboxList } from '../relay/mailbox-list.ts';

/** Of a subject: what is looked at, far more than a subject has. */
const LOOKED_AT = 10_000;

/** The section `delivery.forced-tls`, arranged for the check. */
export class ForcedTls {
  readonly #options: Config['delivery']['forced-tls'];
  readonly #senders: MailboxList;
  readonly #everybody: boolean;

  constructor({ delivery }: Pick<Config, 'delivery'>) {
    this.#options = delivery['forced-tls'];
    const { senders } = this.#options;
    this.#senders = new MailboxList(senders);
    this.#everybody = senders.includes('*');
  }

  /** Nothing is configured, so no mail need be looked at. */
  get isOff(): boolean {
    const { senders, header, subject } = this.#options;
    return senders.length === 0 && header === undefined && subject === undefined;
  }

  /** What mail of these senders (reverse-path and authors) with this header asks for; undefined: nothing. */
  demandOf(senders: readonly string[], fields: readonly HeaderField[], delimiter: string): MessageTls | undefined {
    const { level, otherwise } = this.#options;
    const by = this.#names(senders, delimiter) ? 'sender' : this.#mark(fields);
    return by === undefined ? undefined : { level, by, otherwise };
  }

  #names(senders: readonly string[], delimiter: string): boolean {
    return senders.some((sender) => {
      const address = canonicalAddress(sender);
      const plain = withoutTag(address, delimiter) ?? address;
      return this.#everybody || this.#senders.match(address) !== undefined || this.#senders.match(plain) !== undefined;
    });
  }

  #mark(fields: readonly HeaderField[]): 'header' | 'subject' | undefined {
    const { header, subject } = this.#options;
    const name = header?.toLowerCase();
    if (fields.some((field) => field.name === name && fieldValue(field).toLowerCase() !== 'no')) return 'header';
    const mark = subject?.toLowerCase();
    const isMarked = (field: HeaderField): boolean => mark !== undefined && textOf(field).includes(mark);
    return fields.some((field) => field.name === 'subject' && isMarked(field)) ? 'subject' : undefined;
  }
}

/** In small letters, encoded words (RFC 2047) as what they say. */
function textOf(field: HeaderField): string {
  const value = Buffer.from(fieldValue(field).slice(0, LOOKED_AT), 'latin1').toString('utf8');
  return decodedWords(value).toLowerCase();
}
