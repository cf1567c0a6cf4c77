import { endsWithin } from '#cluster/bus/bus.ts';
import { VERSION } from '#cluster/version.ts';
import { domainOf } from '#shared/address/address.ts';
import { errorText } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { Envelope, Origin } from '#shared/mail/envelope.ts';
import { foldField, rfc5322Date } from '#shared/mail/header.ts';
import type { Message } from '../../../store/message.ts';
import { authorOf } from '../../author.ts';
import { targetsOf, textsAt } from '../../destinations.ts';
import { type Queued, queued } from '../../queued.ts';
import type { SenderDeps } from '../sender.ts';
import { takers } from '../takers.ts';
import { type Asked, asked, type Failed } from './asked.ts';
import { failureBody, failureSubject, failureType, needsSpfRecord } from './format.ts';
import { FailureLimit } from './limit.ts';
import { isReport, MOST_READ, quotedHeader } from './quoted-header.ts';

/**
 * DMARC failure reports (RFC 9991): where `failure` is on, the owner of a domain that asks for them (`ruf`) hears of a
 * message that fails DMARC here as soon as it is accepted or refused for good. Nothing waits for a report, and one that
 * cannot be sent is lost: the aggregate report counts the message all the same.
 *
 *   asked.ts          which messages; limit.ts: how many of them
 *   quoted-header.ts  what is shown of the header of the message
 *   format.ts         the report as mail
 */

export type FailureDeps = SenderDeps & {
  /** The first bytes of a message. */
  head: (message: Message, bytes: number) => Promise<Buffer>;
};

/** A message that was refused, before its transfer came to an end. */
export type Refused = Pick<Failed, 'queueId' | 'trace' | 'arrived'> & { origin: Origin; envelope: Envelope };

/** How long a stop waits for reports that are being made. */
const STOP_MS = 2000;

export class FailureReports {
  readonly #deps: FailureDeps;
  readonly #limit = new FailureLimit();
  readonly #lines = new LimitedLog();
  /** At most as many as the limit admits. */
  readonly #working = new Set<Promise<void>>();
  #stopped = false;

  constructor(deps: FailureDeps) {
    this.#deps = deps;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await endsWithin(STOP_MS, Promise.all(this.#working));
    this.#lines.close();
  }

  /** The message is on disk. */
  accepted(message: Message, found: Authenticity): void {
    const { id, record, recipients } = message;
    const failed: Failed = {
      ...{ queueId: id, trace: record.trace, origin: record.origin, reversePath: record.reversePath },
      recipients: recipients.flatMap(({ recipient }) => addressesOf(recipient)),
      arrived: record.arrived,
      result: record.junk ? 'spam' : 'delivered',
    };
    const bytes = Math.min(record.facts.headerBytes, MOST_READ);
    this.#report(failed, found, async () => {
      const head = await this.#deps.head(message, bytes);
      // Without it nothing tells whether the message is a report itself.
      if (head.length < bytes) throw new Error('the message was delivered before its header was read');
      return head;
    });
  }

  /** Its header is at the listener. */
  refused({ queueId, trace, origin, envelope, arrived }: Refused, found: Authenticity): void {
    const failed: Failed = {
      ...{ queueId, trace, origin, arrived, reversePath: envelope.reversePath },
      recipients: envelope.recipients.flatMap(addressesOf),
      // A filter may have refused it, or thrown it away.
      result: found.dmarc.disposition === 'reject' ? 'reject' : 'other',
    };
    this.#report(failed, found, async () => Buffer.alloc(0));
  }

  #report(failed: Failed, found: Authenticity, head: () => Promise<Buffer>): void {
    const { settings, log } = this.#deps;
    const what = asked(found, failed);
    if (what === undefined || this.#stopped || !settings.current.authenticity.dmarc.reports.failure) return;
    const about = { domain: what.domain, about: failed.queueId, trace: failed.trace };
    if (!this.#limit.admits(what.domain, performance.now())) {
      const text = 'DMARC failure report not sent: as many as there may be in an hour were sent';
      this.#lines.say(what.domain, (repeated) => log.info({ ...about, ...repeated }, text));
      return;
    }
    const work = this.#send(failed, found, what, head)
      .catch((error: unknown) =>
        this.#lines.say('', (repeated) =>
          log.warn({ ...about, error: errorText(error), ...repeated }, 'DMARC failure report not sent'),
        ),
      )
      .finally(() => this.#working.delete(work));
    this.#working.add(work);
  }

  async #send(failed: Failed, found: Authenticity, what: Asked, head: () => Promise<Buffer>): Promise<void> {
    // At once: the message may be delivered, and deleted, soon.
    const header = await head();
    const { settings, log } = this.#deps;
    const from = authorOf(settings.current);
    const targets = targetsOf(what.ruf);
    if (from === undefined || targets.length === 0 || isReport(header)) return;
    const boundary = `=_${newId(24)}`;
    const body = await this.#body(failed, found, what, header, boundary);
    const to = await takers(targets, { domain: what.domain, size: body.length }, this.#deps);
    if (to === 'later' || to.length === 0 || this.#stopped) return;
    const { message, operations, bytes } = this.#mail({ from, to, domain: what.from, boundary, body });
    await this.#deps.commit({ message, operations, body: bytes });
    const about = { domain: what.domain, about: failed.queueId, trace: failed.trace };
    log.info({ ...about, queueId: message.id, to }, 'DMARC failure report committed');
  }

  async #body(
    failed: Failed,
    found: Authenticity,
    { from: domain }: Asked,
    header: Buffer,
    boundary: string,
  ): Promise<Buffer> {
    const { node, authenticity } = this.#deps.settings.current;
    const facts = {
      ...{ failed, found, domain, hostname: node.hostname },
      quoted: quotedHeader(header, failed.recipients),
      spfRecord: needsSpfRecord(found) ? await this.#spfRecord(found.spf.domain) : undefined,
      authservId: authenticity['authserv-id'] ?? node.hostname,
      agent: `Sealpost/${VERSION}`,
    };
    return failureBody(facts, boundary);
  }

  /** Undefined: there is none, or DNS does not say it now. */
  async #spfRecord(domain: string): Promise<string | undefined> {
    const texts = await textsAt(domain, this.#deps.resolve).catch(() => []);
    return texts.find((text) => /^v=spf1( |$)/i.test(text));
  }

  #mail(mail: { from: string; to: string[]; domain: string; boundary: string; body: Buffer }): Queued {
    const { from, to, domain, boundary, body } = mail;
    const now = Date.now();
    const header = [
      foldField('Date', rfc5322Date(now)),
      foldField('From', `<${from}>`),
      foldField('To', to.map((address) => `<${address}>`).join(', ')),
      foldField('Subject', failureSubject(domain)),
      `Message-ID: <${newId(24)}@${domainOf(from)}>\r\n`,
      // RFC 3834 §5
      'Auto-Submitted: auto-generated\r\n',
      'MIME-Version: 1.0\r\n',
      `Content-Type: ${failureType(boundary)}\r\n\r\n`,
    ].join('');
    return queued({ header, body, to, now, hostname: this.#deps.settings.current.node.hostname });
  }
}

function addressesOf({ address, original }: { address: string; original?: string | undefined }): string[] {
  return original === undefined ? [address] : [address, original];
}
