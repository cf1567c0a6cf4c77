import { html, useEffect, useLayoutEffect, useRef, useState } from '/vendor/preact.js';
import uPlot from '/vendor/uplot.js';
import { theme } from '../state/theme.ts';
import { countText } from './format.ts';

/**
 * Lines over time. What the canvas shows is also there as text: the legend has the values of the newest moment, or of the
 * one that is pointed at, and a table the values of some moments.
 */

/** Names of colours in style/tokens.css; each keeps its meaning over all charts. */
export type ChartColour = 'blue' | 'green' | 'amber' | 'red' | 'violet' | 'teal' | 'grey';

export type Series = {
  name: string;
  colour: ChartColour;
  /** One for each moment; null where nothing is known. */
  values: readonly (number | null)[];
  /** Filled down to the axis. */
  area?: boolean;
  /** Many values are null: the line goes on over them. */
  sparse?: boolean;
};

export type ChartProps = {
  /** What it shows, with its unit: `Mail per second`. */
  label: string;
  /** ms since 1970, growing. */
  times: readonly number[];
  series: readonly Series[];
  format?: (value: number) => string;
  /** The highest value of the axis, such as 1 of shares; by default what the values need. */
  most?: number;
  /** px */
  height?: number;
  /** Each moment is the beginning of a day of UTC. */
  days?: boolean;
};

/** Rows of the table that stands for the chart. */
const MOST_ROWS = 12;

export function Chart({ label, times, series, format = countText, most, height = 200, days = false }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const [pointed, setPointed] = useState<number | undefined>(undefined);
  const kinds = series.map(({ name, colour, area }) => `${name} ${colour} ${area}`).join();

  useLayoutEffect(() => {
    const element = place.current;
    if (element === null) return;
    const options = { series, format, most, width: element.clientWidth, height, days, setPointed };
    const made = new uPlot(optionsOf(options), dataOf(times, series), element);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    const end = theme.subscribe(() => made.redraw(false, true));
    return () => {
      end();
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [kinds, height]);
  useEffect(() => plot.current?.setData(dataOf(times, series)), [times, series]);

  const momentText = days ? dayText : clockText;
  const index = Math.min(pointed ?? times.length - 1, times.length - 1);
  return html`<figure class="chart" aria-label=${label}>
    <figcaption class="legend">
      ${series.map(
        ({ name, colour, values }) => html`<span key=${name} class=${`legend-entry ${colour}`}>
          <span class="legend-name">${name}</span> <b class="figure">${valueText(values[index], format)}</b>
        </span>`,
      )}
      ${pointed !== undefined && times[index] !== undefined && html`<time class="soft figure">${momentText(times[index])}</time>`}
    </figcaption>
    <div class="plot" ref=${place} aria-hidden="true" style=${{ height: `${height}px` }}></div>
    <${Values} label=${label} times=${times} series=${series} format=${format} momentText=${momentText} />
  </figure>`;
}

/** The values of some moments, the newest first. */
type ValuesProps = Required<Pick<ChartProps, 'label' | 'times' | 'series' | 'format'>> & {
  momentText: (at: number) => string;
};

function Values({ label, times, series, format, momentText }: ValuesProps) {
  const [open, setOpen] = useState(false);
  const step = Math.max(1, Math.ceil(times.length / MOST_ROWS));
  const shown = open ? times.map((_, i) => times.length - 1 - i).filter((_, i) => i % step === 0) : [];
  return html`<details class="values" onToggle=${(event: Event) => setOpen((event.target as HTMLDetailsElement).open)}>
    <summary>As a table</summary>
    <div class="plain-table">
      <table>
        <caption class="unseen">${label}</caption>
        <thead><tr><th scope="col">Time</th>${series.map(({ name }) => html`<th key=${name} scope="col" class="numeric">${name}</th>`)}</tr></thead>
        <tbody>${shown.map(
          (i) => html`<tr key=${i}>
            <th scope="row" class="figure">${momentText(times[i] ?? 0)}</th>
            ${series.map(({ name, values }) => html`<td key=${name} class="numeric figure">${valueText(values[i], format)}</td>`)}
          </tr>`,
        )}</tbody>
      </table>
    </div>
  </details>`;
}

const valueText = (value: number | null | undefined, format: (value: number) => string): string =>
  value === null || value === undefined ? '–' : format(value);

/** `19:54:17` of the reader's time zone. */
const clockText = (at: number): string => new Date(at).toLocaleTimeString('sv');
/** `2026-11-30` of UTC. */
const dayText = (at: number): string => new Date(at).toISOString().slice(0, 10);

function dataOf(times: readonly number[], series: readonly Series[]): uPlot.AlignedData {
  return [times.map((at) => at / 1000), ...series.map(({ values }) => [...values])];
}

type Options = Required<Pick<ChartProps, 'series' | 'format' | 'height' | 'days'>> & {
  most: number | undefined;
  width: number;
  setPointed: (index: number | undefined) => void;
};

/** Colours are functions, so that a chart that is drawn again has those of the theme. */
function optionsOf({ series, format, most, width, height, days, setPointed }: Options): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: () => colourOf('text-soft'),
    grid: { stroke: () => colourOf('grid'), width: 1 },
    ticks: { show: false },
    font: '12px system-ui, sans-serif',
  };
  return {
    width,
    height,
    legend: { show: false },
    ...(days && { tzDate: (at: number) => uPlot.tzDate(new Date(at * 1000), 'Etc/UTC') }),
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    padding: [8, 8, 0, 0],
    scales: { y: { range: (_, __, highest) => [0, most ?? roomFor(highest)] } },
    axes: [
      {
        ...axis,
        size: 28,
        space: 80,
        values: (_, splits) =>
          splits.map((at) => (days ? dayText(at * 1000).slice(5) : clockText(at * 1000).replace(/:00$/, ''))),
        ...(days && { incrs: DAYS }),
      },
      { ...axis, size: 52, space: 36, values: (_, splits) => splits.map(format) },
    ],
    series: [
      {},
      ...series.map(
        ({ name, colour, area, sparse = false }): uPlot.Series => ({
          label: name,
          stroke: () => colourOf(`chart-${colour}`),
          ...(area && { fill: () => colourOf(`chart-${colour}-area`) }),
          width: 1.5,
          spanGaps: sparse,
          points: { show: false },
        }),
      ),
    ],
    hooks: { setCursor: [({ cursor }) => setPointed(cursor.idx ?? undefined)] },
  };
}

/** Between ticks, in s: whole days. */
const DAYS = [1, 2, 7, 14, 30, 90, 365].map((n) => n * 86_400);

/** A little more than the highest value, and never nothing. */
const roomFor = (highest: number | null): number => Math.max(1, (highest ?? 0) * 1.1);

/** The value that a colour of style/tokens.css has in this theme. */
function colourOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
}
