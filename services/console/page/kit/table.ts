import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from '/vendor/preact.js';
import { go } from '../state/router.ts';
import { countText } from './format.ts';
import { Icon } from './icon.ts';
import { rowsInSight, type Sort, type Span, scrolledTo, sorted } from './window.ts';

/**
 * A table of any length: only the rows in sight, and a few around them, are in the document. It scrolls in its own box.
 *
 * It is one stop of the Tab key: the controls of one row can be reached with it, those of others after the arrow keys,
 * Page Up and Down, Home or End have moved there. On a narrow screen a row becomes a card where the page says how (`card`);
 * a table without that scrolls sideways in its box.
 */

export type Column<Row> = {
  title: string;
  /** A text is cut where it is too long, and whole in the cell's title. */
  cell: (row: Row) => unknown;
  /** What rows are sorted by; without it they cannot be by this column. */
  by?: (row: Row) => string | number | undefined;
  /** rem; columns without it share what is left. */
  width?: number;
  /** Figures, aligned at their end. */
  numeric?: boolean;
  /** In place of the title, such as a box that selects all rows. */
  head?: unknown;
  /** It has a control of its own, such as a box that selects the row: the link of the row is the cell that follows. */
  control?: boolean;
};

export type TableProps<Row> = {
  /** What it lists: `Messages`. */
  label: string;
  rows: readonly Row[];
  columns: readonly Column<Row>[];
  rowKey: (row: Row) => string;
  /** Where a row leads, if anywhere: its first cell is the link, and a click anywhere in the row follows it. */
  href?: (row: Row) => string | undefined;
  /** A row on a narrow screen, in two lines. */
  card?: (row: Row) => unknown;
  /** How many there are where `rows` are not all, for screen readers; -1 where nobody knows. */
  total?: number;
  /** Called as the end comes into sight, to read more rows. */
  onEnd?: () => void;
  /** Shown in place of no rows. */
  empty?: unknown;
  /** Sorted by this column at first, by its title. */
  sortedBy?: { title: string; down?: boolean };
};

const ROW = 36;
const CARD = 64;

export function Table<Row>(props: TableProps<Row>) {
  const { rows, columns, empty, sortedBy } = props;
  const [sort, setSort] = useState<Sort | undefined>(() => firstSort(columns, sortedBy));
  const by = sort && columns[sort.column]?.by;
  const ordered = useMemo(() => (by && sort ? sorted(rows, by, sort.down) : rows), [rows, sort]);
  if (rows.length === 0 && empty !== undefined) return empty;
  return html`<${Box} ...${props} rows=${ordered} sort=${sort} onSort=${setSort} />`;
}

function firstSort<Row>(columns: readonly Column<Row>[], start: TableProps<Row>['sortedBy']): Sort | undefined {
  const column = columns.findIndex(({ title }) => title === start?.title);
  return column < 0 ? undefined : { column, down: start?.down ?? false };
}

type BoxProps<Row> = TableProps<Row> & { sort: Sort | undefined; onSort: (sort: Sort) => void };

/** The box with its rows, once they are in order. */
function Box<Row>(props: BoxProps<Row>) {
  const { label, rows, columns, card, total = rows.length, onEnd } = props;
  const box = useRef<HTMLDivElement>(null);
  const narrow = useNarrow() && card !== undefined;
  const rowHeight = narrow ? CARD : ROW;
  const view = useView(box);
  const span = rowsInSight(rows.length, rowHeight, view.top, view.height);
  const active = useActiveRow(box, rows.length, rowHeight, span);
  useEffect(() => {
    if (rows.length > 0 && span.end === rows.length) onEnd?.();
  }, [rows.length, span.end]);
  const width = columns.reduce((sum, column) => sum + (column.width ?? 10), 0);
  return html`<div class=${`table-box ${narrow ? 'cards' : ''}`} ref=${box} role="region" aria-label=${label}
    tabindex=${rows.length === 0 ? 0 : -1} onScroll=${view.follow} onKeyDown=${active.key} onFocusIn=${active.focus}>
    <table aria-rowcount=${total < 0 ? -1 : total + 1} style=${{ minWidth: narrow ? '0' : `${width}rem` }}>
      <caption class="unseen">${label}${total < 0 ? '' : `, ${countText(total)}`}</caption>
      ${!narrow && html`<${Head} ...${props} />`}
      <tbody>
        <${Gap} height=${span.first * rowHeight} />
        ${rows.slice(span.first, span.end).map((row, i) => {
          const index = span.first + i;
          return html`<${Line} key=${props.rowKey(row)} ...${props} row=${row} index=${index} narrow=${narrow} />`;
        })}
        <${Gap} height=${(rows.length - span.end) * rowHeight} />
      </tbody>
    </table>
  </div>`;
}

/** In place of rows that are not in the document. */
function Gap({ height }: { height: number }) {
  return height > 0 && html`<tr aria-hidden="true" class="gap"><td style=${{ height: `${height}px` }}></td></tr>`;
}

function Head<Row>({ columns, sort, onSort }: BoxProps<Row>) {
  return html`
    <colgroup>
      ${columns.map(({ title, width }) => html`<col key=${title} style=${width === undefined ? {} : { width: `${width}rem` }} />`)}
    </colgroup>
    <thead>
      <tr aria-rowindex="1">
        ${columns.map(({ title, head, by, numeric }, column) => {
          const now = sort?.column === column ? sort : undefined;
          const order = now === undefined ? undefined : now.down ? 'descending' : 'ascending';
          return html`<th key=${title} scope="col" class=${numeric ? 'numeric' : ''} aria-sort=${order}>
            ${
              by === undefined
                ? (head ?? title)
                : html`<button type="button" onClick=${() => onSort({ column, down: now !== undefined && !now.down })}>
                  ${title}${now && html`<${Icon} name=${now.down ? 'down' : 'up'} />`}
                </button>`
            }
          </th>`;
        })}
      </tr>
    </thead>
  `;
}

type LineProps<Row> = TableProps<Row> & { row: Row; index: number; narrow: boolean };

function Line<Row>({ columns, row, index, narrow, href, card }: LineProps<Row>) {
  const target = href?.(row);
  const linked = columns.findIndex(({ control }) => control !== true);
  const open = (event: MouseEvent): void => {
    const control = event.target instanceof Element && event.target.closest('a, button, input, select, label');
    if (target !== undefined && !control && getSelection()?.isCollapsed !== false) go(target);
  };
  const link = (content: unknown): unknown =>
    target === undefined ? content : html`<a href=${target} class="row-link">${content}</a>`;
  return html`<tr aria-rowindex=${index + 2} data-index=${index} class=${target === undefined ? '' : 'opens'} onClick=${open}>
    ${
      narrow
        ? html`<td>${link(card?.(row))}</td>`
        : columns.map(({ title, cell, numeric }, column) => {
            const content = cell(row);
            const text = typeof content === 'string' ? content : undefined;
            return html`<td key=${title} class=${numeric ? 'numeric figure' : ''} title=${text}>
              ${column === linked ? link(content) : content}
            </td>`;
          })
    }
  </tr>`;
}

/** Which part of the list is in sight. */
function useView(box: { current: HTMLDivElement | null }) {
  const [view, setView] = useState({ top: 0, height: 600 });
  const follow = (): void => {
    const { scrollTop: top = 0, clientHeight: height = 0 } = box.current ?? {};
    setView((old) => (old.top === top && old.height === height ? old : { top, height }));
  };
  useLayoutEffect(() => {
    if (box.current === null) return;
    const observer = new ResizeObserver(follow);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  return { ...view, follow };
}

const CONTROLS = 'a[href], button, input, select, textarea, summary';

/** The row whose controls the Tab key reaches, and the keys that move it. */
function useActiveRow(box: { current: HTMLDivElement | null }, count: number, rowHeight: number, span: Span) {
  const [active, setActive] = useState(0);
  const wanted = useRef(false);
  // Where it was scrolled out of the document, the first row in it takes its part.
  const row = Math.min(Math.max(active, span.first), span.end - 1);

  useLayoutEffect(() => {
    for (const line of box.current?.querySelectorAll<HTMLElement>('tbody tr[data-index]') ?? []) {
      const own = line.dataset['index'] === String(row);
      const controls = line.querySelectorAll<HTMLElement>(CONTROLS);
      for (const control of controls) control.tabIndex = own ? 0 : -1;
      line.tabIndex = own && controls.length === 0 ? 0 : -1;
      // A row that was moved to is in the document once the box has scrolled there.
      if (!wanted.current || line.dataset['index'] !== String(active)) continue;
      wanted.current = false;
      (controls[0] ?? line).focus({ preventScroll: true });
    }
  });

  const key = (event: KeyboardEvent): void => {
    const element = box.current;
    if (
      element === null ||
      (event.target instanceof HTMLElement && /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName))
    )
      return;
    const next = rowAfter(event.key, row, count, Math.max(1, Math.floor(element.clientHeight / rowHeight) - 2));
    if (next === undefined) return;
    event.preventDefault();
    const head = element.querySelector('thead')?.clientHeight ?? 0;
    element.scrollTop = scrolledTo(next, rowHeight, element.scrollTop, element.clientHeight - head);
    wanted.current = true;
    setActive(next);
  };
  const focus = (event: FocusEvent): void => {
    const line = event.target instanceof Element ? event.target.closest<HTMLElement>('tr[data-index]') : null;
    if (line !== null) setActive(Number(line.dataset['index']));
  };
  return { key, focus };
}

function rowAfter(key: string, row: number, count: number, page: number): number | undefined {
  const next = {
    ArrowDown: row + 1,
    ArrowUp: row - 1,
    PageDown: row + page,
    PageUp: row - page,
    Home: 0,
    End: count - 1,
  }[key];
  return next === undefined || count === 0 ? undefined : Math.min(count - 1, Math.max(0, next));
}

const NARROW = '(max-width: 40rem)';

/** Whether the screen is narrow, as on a telephone. */
export function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const query = matchMedia(NARROW);
    const follow = (): void => setNarrow(query.matches);
    query.addEventListener('change', follow);
    return () => query.removeEventListener('change', follow);
  }, []);
  return narrow;
}
