import type { Config } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { canonicalAddress, mailboxKey } from '#shared/address/canonical-address.ts';
import type { Envelope, EnvelopeRecipient } from '#shared/mail/envelope.ts';
import { type Condition, conditionOf, type RuledMail } from './conditions.ts';

/**
 * The rules of the queue (`rules`), as they are in force when a message is committed.
 *
 * They decide once: what they say is written with the message, in the batch that makes it one. So a retry, a restart and a
 * node that takes the message over do as was decided, and a rule that changes is for mail that comes after that. Every rule
 * sees the envelope as it was accepted; the order of the rules matters where two redirect the same recipient (the first
 * counts), and for the name of the hold.
 *
 * What this router writes itself (notices, reports) does not pass here.
 */

type Rule = { config: Config['rules'][number]; applies: Condition };

/** `heldBy`: the rule that holds the message. */
export type Ruled = { envelope: Envelope; heldBy: string | undefined };

export class Rules {
  readonly #settings: Settings;
  #config: Config | undefined;
  #rules: readonly Rule[] = [];

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** What becomes of the envelope of a message; undefined where there is no rule. */
  apply(envelope: Envelope, mail: RuledMail): Ruled | undefined {
    const config = this.#settings.current;
    if (config.rules.length === 0) return undefined;
    if (config !== this.#config) {
      this.#config = config;
      const local = new Set(config.domains.flatMap(({ name, local: isLocal }) => (isLocal ? [name] : [])));
      this.#rules = config.rules.map((rule) => ({ config: rule, applies: conditionOf(rule.when, local) }));
    }
    const { recipients } = envelope;
    const held = this.#rules.find(
      ({ config: { hold }, applies }) => hold === true && recipients.some((recipient) => applies(mail, recipient)),
    );
    return { envelope: { ...envelope, recipients: this.#redirected(recipients, mail) }, heldBy: held?.config.name };
  }

  #redirected(recipients: readonly EnvelopeRecipient[], mail: RuledMail): EnvelopeRecipient[] {
    const stay = recipients.map((recipient) => {
      const rule = this.#rules.find((one) => one.config.redirect !== undefined && one.applies(mail, recipient));
      return { recipient, redirect: rule?.config.redirect };
    });
    const known = new Set(
      stay.flatMap(({ recipient, redirect }) => (redirect === undefined ? [keyOf(recipient)] : [])),
    );
    return stay.flatMap(({ recipient, redirect }) => {
      if (redirect === undefined) return [recipient];
      if (!redirect.includes('@')) return [{ ...recipient, routeOf: redirect }];
      const elsewhere = { ...recipient, address: redirect, original: recipient.original ?? recipient.address };
      // One that gets the mail already gets it once.
      if (known.has(keyOf(elsewhere))) return [];
      known.add(keyOf(elsewhere));
      return [elsewhere];
    });
  }
}

function keyOf({ address }: EnvelopeRecipient): string {
  return mailboxKey(canonicalAddress(address));
}
