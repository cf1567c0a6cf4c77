import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Config } from '#cluster/config/schema/schema.ts';
import type { StoreOperation } from '#cluster/store.ts';
import { domainOf } from '#shared/address/address.ts';
import { errorText } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';
import type { TlsReportUnit, TlsRow } from '#shared/mail/reports/tls-rows.ts';
import { formatSize } from '#shared/units.ts';
import { authorOf } from '../author.ts';
import { partsOf, secondsOf } from '../daily/days.ts';
import { reportId } from '../daily/report-id.ts';
import type { Gathered, Sender } from '../daily/run.ts';
import { hearsDns } from '../destinations.ts';
import type { SenderDeps } from '../dmarc/sender.ts';
import { type ReportMail, reportBody, reportMessage } from '../report-mail.ts';
import type { Outbox } from './outbox.ts';
import { type Readers, readersOf } from './policy-record.ts';
import { reportJson } from './report.ts';

/** Makes the TLS report on a unit: mail for the queue, and what is to be posted, written together. */

export type TlsSenderDeps = SenderDeps & {
  outbox: Outbox;
  /** Resolves when it is on disk. */
  persist: (operations: StoreOperation[]) => Promise<void>;
};

type Submitter = { from: string; contact: string; organisation: string };
type Made = { domain: string; id: string; contact: string; file: ReportMail['file']; mail: ReportMail };

/** Larger reports are not sent: few readers would take them (RFC 8460 §5.2). */
const MOST_BYTES = 10 * 2 ** 20;

const compressed = promisify(gzip);

/** Whose TLS reports these are; undefined: none are made. */
export function tlsSubmitterOf(config: Config): Submitter | undefined {
  const { send, from: own, contact, organisation } = config.delivery['tls-reports'];
  const from = authorOf(config, own);
  if (!send || from === undefined) return undefined;
  const name = organisation ?? config.authenticity.dmarc.reports.organisation ?? domainOf(from);
  return { from, contact: contact ?? from, organisation: name };
}

export class TlsReportSender implements Sender<TlsReportUnit, TlsRow> {
  readonly #deps: TlsSenderDeps;

  constructor(deps: TlsSenderDeps) {
    this.#deps = deps;
  }

  async send(
    gathered: Gathered<TlsReportUnit, TlsRow>,
    run: string,
    own: () => Promise<StoreOperation[]>,
  ): Promise<'sent' | 'unwanted' | 'later'> {
    const { settings, log } = this.#deps;
    const submitter = tlsSubmitterOf(settings.current);
    if (submitter === undefined || gathered.rows.length === 0) return 'unwanted';
    const { domain } = partsOf(gathered.unit);
    const readers = await this.#readersOf(domain);
    if (readers === 'later') return 'later';
    if (readers.mail.length + readers.urls.length === 0) return 'unwanted';
    const made = await this.#make(gathered, run, submitter);
    const { length: size } = made.file.gzip;
    const about = { domain, report: made.id, rows: gathered.rows.length, uncounted: gathered.uncounted, size };
    if (size > MOST_BYTES) {
      log.warn({ ...about, size: formatSize(size) }, 'TLS report not sent: it is too large');
      return 'unwanted';
    }
    const urls = readers.urls.slice(0, this.#deps.outbox.room);
    const to = readers.mail.map(({ address }) => address);
    if (to.length + urls.length === 0) {
      log.warn(about, 'TLS report not sent: too many reports wait to be posted');
      return 'unwanted';
    }
    const queueId = await this.#write(made, { to, urls }, own);
    log.info({ ...about, queueId, to, urls }, 'TLS report committed');
    return 'sent';
  }

  async #readersOf(domain: string): Promise<Readers | 'later'> {
    try {
      return (await readersOf(domain, this.#deps.resolve)) ?? { mail: [], urls: [] };
    } catch (error) {
      const text = 'TLS report: DNS does not tell now whether the domain asks for it';
      this.#deps.log.info({ domain, error: errorText(error) }, text);
      return 'later';
    }
  }

  /** Returns the queue id of the mail, where there is mail. */
  async #write(
    { domain, id, file, mail }: Made,
    { to, urls }: { to: string[]; urls: string[] },
    own: () => Promise<StoreOperation[]>,
  ): Promise<string | undefined> {
    const { outbox, settings, commit, persist } = this.#deps;
    const posts = urls.map((url, n) => outbox.writing(`${id}!${n}`, { url, domain, report: id, gzip: file.gzip }));
    const beside = [...posts.map(({ operation }) => operation), ...(await own())];
    let queueId: string | undefined;
    if (to.length === 0) await persist(beside);
    else {
      const boundary = `=_${newId(24)}`;
      const body = reportBody(mail, boundary);
      const { hostname } = settings.current.node;
      const { message, operations, bytes } = reportMessage(mail, to, { boundary, body, now: Date.now(), hostname });
      await commit({ message, operations: [...operations, ...beside], body: bytes });
      queueId = message.id;
    }
    for (const { key } of posts) outbox.written(key);
    return queueId;
  }

  async #make(
    { unit, rows }: Gathered<TlsReportUnit, TlsRow>,
    run: string,
    { from, contact, organisation }: Submitter,
  ): Promise<Made> {
    const { domain, day } = partsOf(unit);
    const submitter = domainOf(from);
    const id = reportId(submitter, unit, run);
    const { begin, end } = secondsOf(day);
    const json = reportJson({ organisation, contact, id: `${id}@${submitter}`, domain, begin, end, rows });
    const file = {
      // RFC 8460 §5.1: its sender is the domain of the contact.
      name: `${domainOf(contact)}!${domain}!${begin}!${end}!${id}.json.gz`,
      type: 'application/tlsrpt+gzip',
      gzip: await compressed(json),
    };
    const mail: ReportMail = {
      ...{ from, id, file, isTlsReport: true },
      // RFC 8460 §5.3
      type: 'multipart/report; report-type="tlsrpt"',
      subject: `Report Domain: ${domain} Submitter: ${submitter} Report-ID: <${id}@${submitter}>`,
      fields: [
        ['TLS-Report-Domain', domain],
        ['TLS-Report-Submitter', submitter],
      ],
      text: [
        `This is an aggregate TLS report on ${domain} from ${organisation.replace(/\s+/g, ' ')}`,
        `for ${day}. It was made by a program for a program.`,
      ],
    };
    return { domain, id, contact, file, mail };
  }

  async hearsDns(): Promise<boolean> {
    const submitter = tlsSubmitterOf(this.#deps.settings.current);
    return submitter !== undefined && (await hearsDns(domainOf(submitter.from), this.#deps.resolve));
  }
}
