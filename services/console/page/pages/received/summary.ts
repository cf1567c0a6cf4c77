import type { ReportsSummary } from '#services/console/schemas/received.ts';
import { html } from '/vendor/preact.js';
import { Note } from '../../kit/badge.ts';
import { Choice } from '../../kit/form.ts';
import { listText, plural } from '../../kit/format.ts';
import { Moment } from '../../kit/time.ts';
import { setQuery } from '../../state/router.ts';

/** What pages about received reports have in common. */

const SPANS = [
  ['7', '7 days'],
  ['30', '30 days'],
  ['90', '90 days'],
  ['365', 'A year'],
] as const;

export const daysOf = (query: URLSearchParams): string =>
  SPANS.find(([span]) => span === query.get('days'))?.[0] ?? '30';

export function DaysField({ days }: { days: string }) {
  return html`<${Choice} label="Time" value=${days} options=${SPANS}
    onValue=${(value: string) => setQuery({ days: value === '30' ? undefined : value })} />`;
}

/** From whom the reports are, of what time, and how far they can be believed. */
export function Summary({ reports, organisations, begin, end, doubtful, silent }: ReportsSummary) {
  return html`
    ${silent.length > 0 && html`<${Note} tone="warn" title=${`Reports that came to ${listText(silent)} alone are not counted: no answer came.`} />`}
    ${
      begin !== undefined &&
      end !== undefined &&
      html`<p class="soft break">
        ${plural(reports, 'report')} of ${organisations.length > 5 ? plural(organisations.length, 'organisation') : listText(organisations)},
        from <${Moment} at=${begin} /> to <${Moment} at=${end} />.
      </p>`
    }
    ${
      doubtful > 0 &&
      html`<${Note} tone="info" title=${`${plural(doubtful, 'report')} came in mail that does not pass DMARC itself.`}>Anybody can write a report: think twice before you act on those alone.<//>`
    }
  `;
}
