import { Store, useStore } from './store.ts';

/**
 * Where the page is: path and query of the address, without a fragment. Links are real links, `<a href="/messages">`;
 * a click on one of ours changes the place without loading the page again.
 */

export type Place = { path: string; query: URLSearchParams };

/** What a page gets. */
export type PageProps = {
  /** What follows the path of the page, decoded: `['3f2a']` of /messages/3f2a. */
  rest: readonly string[];
  query: Place['query'];
};

const place = new Store<Place>({ path: '/', query: new URLSearchParams() });

export const usePlace = (): Place => useStore(place);

/** Follow the address, and take over clicks on our own links. Called once. */
export function startRouter(): void {
  place.set(read());
  addEventListener('popstate', () => place.set(read()));
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (link === null || !isOurs(link) || event.defaultPrevented || !isPlain(event)) return;
    event.preventDefault();
    go(link.href);
  });
}

/** To another place; `replace`: without an entry in the history. */
export function go(href: string, replace = false): void {
  const elsewhere = new URL(href, location.href).pathname !== location.pathname;
  if (replace) history.replaceState(null, '', href);
  else history.pushState(null, '', href);
  place.set(read());
  if (elsewhere) scrollTo(0, 0);
}

/** Change some parameters of the query (undefined or empty: leave out), as filters do: without an entry in the history. */
export function setQuery(changes: Readonly<Record<string, string | undefined>>): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === '') query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  go(`${location.pathname}${text === '' ? '' : `?${text}`}`, true);
}

const KEPT = 'sealpost-place';

/** For `returnToPlace`, when the browser comes back from another site. */
export function rememberPlace(): void {
  sessionStorage.setItem(KEPT, location.pathname + location.search);
}

/** Once, to where `rememberPlace` was called. */
export function returnToPlace(): void {
  const kept = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  if (kept !== null && location.pathname === '/') go(`${location.origin}${kept}`, true);
}

function read(): Place {
  return { path: location.pathname, query: new URLSearchParams(location.search) };
}

function isOurs(link: HTMLAnchorElement): boolean {
  return (
    link.origin === location.origin &&
    link.hasAttribute('href') &&
    !link.getAttribute('href')?.startsWith('#') &&
    !link.hasAttribute('download') &&
    link.target === '' &&
    !/^\/(?:api|page|vendor)\//.test(link.pathname)
  );
}

/** A click that asks for no new tab or window. */
function isPlain({ button, metaKey, ctrlKey, shiftKey, altKey }: MouseEvent): boolean {
  return button === 0 && !metaKey && !ctrlKey && !shiftKey && !altKey;
}
