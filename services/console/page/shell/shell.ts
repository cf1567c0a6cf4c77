import { html, useEffect, useErrorBoundary, useRef, useState } from '/vendor/preact.js';
import { Note } from '../kit/badge.ts';
import { Questions } from '../kit/dialog.ts';
import { PageHead, Waiting } from '../kit/layout.ts';
import { Toasts } from '../kit/toast.ts';
import { pageOf } from '../pages.ts';
import { ApiProblem, get, problemText } from '../state/api.ts';
import { type PageProps, returnToPlace, usePlace } from '../state/router.ts';
import { enter, type Session, signedIn } from '../state/session.ts';
import { useStore } from '../state/store.ts';
import { Navigation } from './navigation.ts';
import { SignIn } from './sign-in.ts';

/** What stands around every page: the navigation, or the sign-in in its place while nobody is signed in. */

export function Shell() {
  const now = useStore(signedIn);
  useEffect(() => void findSession(), []);
  if (now.state === 'unknown') return html`<${Waiting} />`;
  return html`
    ${now.state === 'in' ? html`<${SignedInShell} session=${now.session} />` : html`<${SignIn} reason=${now.reason} />`}
    <${Toasts} />
  `;
}

/** Whether the cookie of this browser still stands for somebody. A link to sign in with comes first. */
async function findSession(): Promise<void> {
  if (location.pathname === '/sign-in/link') {
    signedIn.set({ state: 'out' });
    return;
  }
  try {
    const session = await get<Session>('session');
    returnToPlace();
    enter(session);
  } catch (error) {
    const nobody = error instanceof ApiProblem && error.status === 401;
    signedIn.set(nobody ? { state: 'out' } : { state: 'out', reason: problemText(error) });
  }
}

function SignedInShell({ session }: { session: Session }) {
  const { path, query } = usePlace();
  const found = pageOf(path);
  const main = useRef<HTMLElement>(null);
  const before = useRef(path);
  // A click on a link moves what is read out to the new page, as loading it would. Not the first page.
  useEffect(() => {
    if (before.current !== path) main.current?.focus({ preventScroll: true });
    before.current = path;
  }, [path]);
  return html`
    <a class="skip" href="#main" onClick=${() => main.current?.focus()}>Skip to the page</a>
    <div class="shell">
      <${Navigation} session=${session} current=${found?.page.path} />
      <main id="main" ref=${main} tabindex="-1">
        ${
          found === undefined
            ? html`<${Nowhere} />`
            : html`<${LoadedPage} key=${found.page.path} page=${found.page} rest=${found.rest} query=${query} />`
        }
      </main>
    </div>
    <${Questions} />
  `;
}

type PageComponent = (props: PageProps) => unknown;
type Module = { component: PageComponent } | { error: unknown } | undefined;

/** The page itself, once its modules are there. A mistake in it takes down nothing else. */
function LoadedPage({ page, rest, query }: PageProps & { page: NonNullable<ReturnType<typeof pageOf>>['page'] }) {
  const [module, setModule] = useState<Module>(undefined);
  const [broken, restore] = useErrorBoundary((error) => console.error(error));
  useEffect(() => {
    page.load().then(
      (loaded) => setModule({ component: loaded.default }),
      (error: unknown) => setModule({ error }),
    );
  }, [page]);
  const error: unknown = broken ?? (module !== undefined && 'error' in module ? module.error : undefined);
  if (error !== undefined) return html`<${BrokenPage} title=${page.title} error=${error} retry=${restore} />`;
  if (module === undefined || !('component' in module)) return html`<${Waiting} />`;
  return html`<${module.component} rest=${rest} query=${query} />`;
}

function BrokenPage({ title, error, retry }: { title: string; error: unknown; retry: () => void }) {
  return html`
    <${PageHead} title=${title} />
    <div role="alert">
      <${Note} tone="bad" title="This page cannot be shown.">
        <p>Mail is not affected, and the other pages work. Loading it again helps where Sealpost was upgraded meanwhile.</p>
        <p class="soft">${problemText(error)}</p>
        <p class="actions">
          <button type="button" class="small" onClick=${() => location.reload()}>Load it again</button>
          <button type="button" class="small" onClick=${retry}>Try again</button>
        </p>
      <//>
    </div>
  `;
}

function Nowhere() {
  return html`<${PageHead} title="There is no such page">
    The address leads nowhere. The <a href="/">overview</a> shows the cluster.
  <//>`;
}
