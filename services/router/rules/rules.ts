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
 *
 * A journal rule makes the archive one more recipient of the message, and not a message of its own. So the copy is committed in
 * the same batch: a 250 is for both, and so are the second copy on another node, a hand-over and a take-over, after which
 * there is still one recipient that is the archive. The body lies on disk once, also for a journal report, which is made
 * around it at each attempt (queue/opening/journal-report.ts). What is different for this recipient:
 *
 *   envelope   It is added when rules decide, once for each archive, whatever number of rules and recipients call for it. It
 *              has a reverse-path of its own, so it goes in a transaction of its own (queue/grouping.ts): no other
 *              recipient's server sees it, and what the archive's server reports does not reach the sender. NOTIFY=NEVER, and
 *              the plan of notices (notices/notices.ts) never names it.
 *   time       Its attempts are its own, as those of every recipient with another next hop, and go on for `journal.expire`.
 *   end        Refused or expired, it becomes a dead letter: tried now and then while other recipients wait, and then the
 *              message is held (queue/settling/results.ts), with an error in the log. It leaves the queue when the archive takes it, or
 *              when an operator removes a message of which nothing else is left.
 *   removal    An operator who removes a message removes its other recipients; the archive gets it then (removedOf).
 *
 * A hold is for the whole message: its copy waits with it for the release or removal.
 *
 * No loop: mail to archives alone is journaled by no rule, so a copy that comes back, because the archive's domain is one that
 * this cluster accepts mail for, makes no other. Where two systems journal each other's copies, Received fields add up, and
 * limits.hops ends it.
 */

type Rule = { config: Config['rules'][number]; applies: Condition };

type Journal = NonNullable<Config['rules'][number]['journal']>;

/** `heldBy`: the rule that holds the message. */
export type Ruled = { envelope: Envelope; heldBy: string | undefined };

export class Rules {
  readonly #settings: Settings;
  #config: Config | undefined;
  #rules: readonly Rule[] = [];
  /** Where the copies of all journal rules go. */
  #allArchives: ReadonlySet<string> = new Set();

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
      this.#allArchives = new Set(
        config.rules.flatMap(({ journal }) => (journal ? [keyOf({ address: journal.to })] : [])),
      );
    }
    const { recipients } = envelope;
    const held = this.#rules.find(
      ({ config: { hold }, applies }) => hold === true && recipients.some((recipient) => applies(mail, recipient)),
    );
    const archives = this.#archives(recipients, mail);
    const others = this.#redirected(recipients, mail).filter((recipient) => !archives.has(keyOf(recipient)));
    return {
      envelope: { ...envelope, recipients: [...others, ...archives.values()] },
      heldBy: held?.config.name,
    };
  }

  /** The archives that get a copy. */
  #archives(recipients: readonly EnvelopeRecipient[], mail: RuledMail): Map<string, EnvelopeRecipient> {
    const found = new Map<string, EnvelopeRecipient>();
    const to = recipients.filter((recipient) => !this.#allArchives.has(keyOf(recipient)));
    for (const { config, applies } of this.#rules) {
      if (config.journal === undefined || !to.some((recipient) => applies(mail, recipient))) continue;
      const archive = archiveOf(config.name, config.journal);
      if (!found.has(keyOf(archive))) found.set(keyOf(archive), archive);
    }
    for (const { address, original = address } of recipients) {
      const archive = found.get(keyOf({ address }));
      // It was named beside the others: its copy says so.
      if (archive !== undefined) archive.original = original;
    }
    return found;
  }

  #redirected(recipients: readonly EnvelopeRecipient[], mail: RuledMail): EnvelopeRecipient[] {
    const stay = recipients.map((recipient) => {
      const rule = this.#rules.find((one) => one.config.redirect !== undefined && one.applies(mail, recipient));
      return { recipient, redirect: rule?.config.redirect, redirectedBy: rule?.config.name };
    });
    const known = new Set(
      stay.flatMap(({ recipient, redirect }) => (redirect === undefined ? [keyOf(recipient)] : [])),
    );
    return stay.flatMap(({ recipient, redirect, redirectedBy }) => {
      if (redirect === undefined) return [recipient];
      if (!redirect.includes('@')) return [{ ...recipient, routeOf: redirect, redirectedBy }];
      const { address, original = address } = recipient;
      const elsewhere = { ...recipient, address: redirect, original, redirectedBy };
      // One that gets the mail already gets it once.
      if (known.has(keyOf(elsewhere))) return [];
      known.add(keyOf(elsewhere));
      return [elsewhere];
    });
  }
}

function archiveOf(rule: string, { to, failures = '', ...journal }: Journal): EnvelopeRecipient {
  return { address: to, notify: ['NEVER'], reversePath: failures, neverJunk: true, journal: { rule, ...journal } };
}

function keyOf({ address }: Pick<EnvelopeRecipient, 'address'>): string {
  return mailboxKey(canonicalAddress(address));
}
