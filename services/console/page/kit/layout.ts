import { html, useLayoutEffect } from '/vendor/preact.js';
import type { ApiProblem } from '../state/api.ts';
import { problemText } from '../state/api.ts';
import type { Loaded } from '../state/data.ts';
import { Note } from './badge.ts';

/** What pages are put together of. */

type Content = { children?: unknown };

/**
 * The heading of a page, which it has once. `actions`: buttons beside it; the content: a sentence below it. The title of
 * the window follows.
 */
export function PageHead({ title, actions, children }: Content & { title: string; actions?: unknown }) {
  useLayoutEffect(() => {
    document.title = `${title} · Sealpost`;
  }, [title]);
  return html`<header class="page-head">
    <div>
      <h1 tabindex="-1">${title}</h1>
      ${children && html`<p class="soft">${children}</p>`}
    </div>
    ${actions && html`<div class="actions">${actions}</div>`}
  </header>`;
}

type TabsProps = { label: string; tabs: readonly (readonly [href: string, text: unknown])[]; current: string };

/** Parts of a page that are shown one at a time, each at an address of its own; `current` is that of one of them. */
export function Tabs({ label, tabs, current }: TabsProps) {
  return html`<nav class="tabs" aria-label=${label}>
    ${tabs.map(
      ([href, text]) =>
        html`<a key=${href} href=${href} aria-current=${href === current ? 'page' : undefined}>${text}</a>`,
    )}
  </nav>`;
}

/** A part of a page with a heading of its own. */
export function Card({ title, actions, children }: Content & { title?: string; actions?: unknown }) {
  return html`<section class="card" aria-label=${title}>
    ${
      title &&
      html`<header class="card-head">
      <h2>${title}</h2>
      ${actions && html`<div class="actions">${actions}</div>`}
    </header>`
    }
    ${children}
  </section>`;
}

/** Figures side by side. */
export function Figures({ children }: Content) {
  return html`<dl class="figures">${children}</dl>`;
}

/** One of them: `label` above, `value` large, a few words below. */
export function Figure({ label, value, tone, children }: Content & { label: string; value: unknown; tone?: string }) {
  return html`<div class=${`figure-box ${tone ?? ''}`}>
    <dt>${label}</dt>
    <dd class="figure">${value}</dd>
    ${children && html`<dd class="soft">${children}</dd>`}
  </div>`;
}

/** Names and values below each other; a row whose value is undefined is left out. */
export function Facts({ rows }: { rows: readonly (readonly [name: string, value: unknown])[] }) {
  return html`<dl class="facts">
    ${rows
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** Where a list has nothing, and what would fill it. */
export function Empty({ title, children }: Content & { title: string }) {
  return html`<div class="empty">
    <strong>${title}</strong>
    ${children && html`<p class="soft">${children}</p>`}
  </div>`;
}

export function Problem({ problem, retry }: { problem: ApiProblem; retry?: () => unknown }) {
  return html`<div role="alert">
    <${Note} tone="bad" title=${html`<${Prose} text=${problemText(problem)} />`}>
      ${retry && html`<button type="button" class="small" onClick=${retry}>Try again</button>`}
    <//>
  </div>`;
}

/**
 * What was read, once it is there: `${shown(loaded, (data) => html`…`)}`. A problem is shown, above what was read
 * before.
 */
export function shown<T>({ data, problem, reload }: Loaded<T>, render: (data: T) => unknown): unknown {
  return html`
    ${problem && html`<${Problem} problem=${problem} retry=${reload} />`}
    ${data !== undefined && render(data)}
    ${data === undefined && problem === undefined && html`<${Waiting} />`}
  `;
}

/** Appears only where it takes a moment. */
export function Waiting() {
  return html`<p class="waiting soft" role="status">Loading …</p>`;
}

/** A text of Sealpost, with its commands set apart: `"sealpost doctor" tells more`. */
export function Prose({ text }: { text: string }) {
  return text.split(/"(sealpost [^"]*)"/).map((part, i) => (i % 2 === 1 ? html`<code>${part}</code>` : part));
}
