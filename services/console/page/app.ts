import { html, render } from '/vendor/preact.js';
import { Shell } from './shell/shell.ts';
import { startRouter } from './state/router.ts';
import { startTheme } from './state/theme.ts';

/**
 * The page of the console, from here on in the browser. The server gives each module without its types under
 * `/page/<path>.js`; there is no build step, and nothing comes from elsewhere. Its content security policy forbids inline
 * scripts and styles: a `style` of an element is an object, never a text.
 *
 * A PAGE is one file, `pages/<name>.ts`, whose default export is a component that gets `PageProps`, and one line of
 * `PAGES` (pages.ts). What is long stands in a folder beside it, `pages/<name>/`; a style that the kit lacks in
 * `style/<name>.css`, with its line in index.html. The address says what is shown: `/keys/example.com/s1` is the page
 * `/keys` with `rest` `['example.com', 's1']`, filters are in `query` and change by `setQuery` (state/router.ts). Links are
 * links: `<a href="/messages/${segment(id)}">`.
 *
 *   import { html } from '/vendor/preact.js';             // and the hooks: see vendor/preact.d.ts
 *   import type { KeyList } from '#services/console/schemas/keys.ts'; // of all else, types alone
 *
 *   export default function Keys({ query }: PageProps) {
 *     const keys = useData<KeyList>('keys', { domain: query.get('domain') ?? undefined });
 *     return html`
 *       <${PageHead} title="Keys">One sentence that says what this is.<//>
 *       ${shown(keys, ({ items }) => html`<${Table} label="Keys" rows=${items} … />`)}
 *     `;
 *   }
 *
 *   to read      `useData` (state/data.ts), which reads again when path or query change, each so many ms if asked, and by
 *                `reload()`; `shown` (kit/layout.ts) renders it once it is there, and a problem with a way to try again
 *   to listen    `useLive('overview')` (state/stream.ts): the last event of a name, and how old it is
 *   to change    `ActionButton` (kit/dialog.ts): a button that asks (`confirm`), does (`run`), says what came of it
 *                (`done`) and reads again (`after`); `FormDialog` where there are fields (kit/form.ts); `act` and
 *                `confirmed` for anything else. Requests are `get`, `post`, `put`, `remove` of state/api.ts, and parts of
 *                their paths go through `segment`. Show what changes only where `mayChange(useSession())` (state/session.ts)
 *   to list      `Table` (kit/table.ts) for lists that grow: windowed, sorted, one stop of the Tab key, cards on narrow
 *                screens; a plain `<table>` in `<div class="plain-table">` for a few rows
 *   to draw      `Chart` (kit/chart.ts): lines over time, with their values as text
 *   to say       `Badge` for states and `Note` for what is wrong and what to do (kit/badge.ts), `say` and `complain`
 *                for what happened (kit/toast.ts), `Empty` where there is nothing, `Prose` for texts with commands
 *   to arrange   `PageHead`, `Tabs`, `Card`, `Figures`, `Facts` (kit/layout.ts); `<div class="columns">` puts cards side by
 *                side
 *   numbers      kit/format.ts; moments are `<${Time} at=${ms} />`; what can be copied is `Copyable` (kit/copy.ts)
 *
 * What comes from strangers (addresses, subjects, replies) is text between the tags of a template, where it can do no
 * harm; it never becomes an `href`, nor a name of a tag or attribute.
 */

startTheme();
startRouter();
const root = document.getElementById('app');
if (root !== null) render(html`<${Shell} />`, root);
