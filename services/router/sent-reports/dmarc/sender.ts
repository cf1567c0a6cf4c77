import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { createGzip } from 'node:zlib';
import type { Config } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import type { StoreOperation } from '#cluster/store.ts';
import { VERSION } from '#cluster/version.ts';
import { domainOf } from '#shared/address/address.ts';
import { newId } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import type { DmarcRow, PublishedPolicy, ReportUnit } from '#shared/mail/reports/dmarc-rows.ts';
import type { Message } from '../../store/message.ts';
import { authorOf } from '../author.ts';
import { partsOf, secondsOf } from '../daily/days.ts';
import { reportId } from '../daily/report-id.ts';
import type { Gathered, Sender } from '../daily/run.ts';
import { hearsDns, type Resolve, targetsOf } from '../destinations.ts';
import { type ReportMail, reportBody, reportMessage } from '../report-mail.ts';
import { takers } from './takers.ts';
import { reportXml } from './xml.ts';

/** Makes the report on a unit and puts it into the queue, with what else is to be written then. */

export type SenderDeps = {
  settings: Settings;
  log: Logger;
  resolve: Resolve;
  /** Puts a message into the queue, together with these operations; resolves when that is on disk. */
  commit: (made: { message: Message; operations: StoreOperation[]; body: Buffer }) => Promise<void>;
};

/** Between two pieces others have their turn. */
async function compressed(pieces: Iterable<string>): Promise<Buffer> {
  return await buffer(Readable.from(pieces).pipe(createGzip()));
}

/** Whose aggregate reports these are; undefined: none are made. */
export function submitterOf(config: Config): { from: string; organisation: string } | undefined {
  const { send, organisation } = config.authenticity.dmarc.reports;
  const from = authorOf(config);
  if (!send || from === undefined) return undefined;
  return { from, organisation: organisation ?? domainOf(from) };
}

type GatheredRows = Gathered<ReportUnit, DmarcRow>;
type Submitter = NonNullable<ReturnType<typeof submitterOf>>;

export class ReportSender implements Sender<ReportUnit, DmarcRow> {
  readonly #deps: SenderDeps;

  constructor(deps: SenderDeps) {
    this.#deps = deps;
  }

  async send(
    gathered: GatheredRows,
    run: string,
    own: () => Promise<StoreOperation[]>,
  ): Promise<'sent' | 'unwanted' | 'later'> {
    const { settings, log } = this.#deps;
    const submitter = submitterOf(settings.current);
    const published = newestOf(gathered.records);
    const targets = targetsOf(published?.rua ?? '');
    if (submitter === undefined || published === undefined || targets.length === 0 || gathered.rows.length === 0)
      return 'unwanted';
    const { domain } = partsOf(gathered.unit);
    const mail = await this.#mail(gathered, published, run, submitter);
    const boundary = `=_${newId(24)}`;
    const body = reportBody(mail, boundary);
    const about = { domain, report: mail.id, rows: gathered.rows.length, size: body.length };
    const to = await takers(targets, { domain, size: body.length }, this.#deps);
    if (to === 'later') return 'later';
    if (to.length === 0) {
      log.info({ ...about, rua: published.rua }, 'DMARC report not sent: none of the addresses of its domain takes it');
      return 'unwanted';
    }
    const { hostname } = settings.current.node;
    const { message, operations, bytes } = reportMessage(mail, to, { boundary, body, now: Date.now(), hostname });
    await this.#deps.commit({ message, operations: [...operations, ...(await own())], body: bytes });
    log.info({ ...about, queueId: message.id, trace: message.record.trace, to }, 'DMARC report committed');
    return 'sent';
  }

  async #mail(
    { unit, rows, uncounted }: GatheredRows,
    published: PublishedPolicy,
    run: string,
    { from, organisation }: Submitter,
  ): Promise<ReportMail> {
    const { domain, day } = partsOf(unit);
    const submitter = domainOf(from);
    const id = reportId(submitter, unit, run);
    const { begin, end } = secondsOf(day);
    const xml = reportXml({
      ...{ id, domain, begin, end, organisation, email: from, published, rows, generator: `Sealpost ${VERSION}` },
      contact: this.#deps.settings.current.authenticity.dmarc.reports.contact,
      error: uncounted === 0 ? undefined : `${uncounted} messages are in no record: there are too many different ones`,
    });
    return {
      ...{ from, id, fields: [], type: 'multipart/mixed', isTlsReport: false },
      // RFC 9990 §3.5.2; of the file too: receiver "!" policy-domain "!" begin "!" end "!" unique-id
      subject: `Report Domain: ${domain} Submitter: ${submitter} Report-ID: <${id}>`,
      text: [
        `This is a DMARC aggregate report on ${domain} from ${organisation.replace(/\s+/g, ' ')}`,
        `for ${day} to ${day}. It was made by a program for a program.`,
      ],
      file: {
        name: `${submitter}!${domain}!${begin}!${end}!${id}.xml.gz`,
        type: 'application/gzip',
        gzip: await compressed(xml),
      },
    };
  }

  async hearsDns(): Promise<boolean> {
    const submitter = submitterOf(this.#deps.settings.current);
    return submitter !== undefined && (await hearsDns(domainOf(submitter.from), this.#deps.resolve));
  }
}

/** The policy as it was seen last. */
function newestOf(records: readonly ReportUnit[]): PublishedPolicy | undefined {
  return records.toSorted((a, b) => b.seen - a.seen)[0]?.published;
}
