import { html, useEffect, useState } from '/vendor/preact.js';
import { durationText } from '../kit/format.ts';
import { Icon, type IconName, Mark } from '../kit/icon.ts';
import { complain } from '../kit/toast.ts';
import { PAGES } from '../pages.ts';
import { post } from '../state/api.ts';
import { usePlace } from '../state/router.ts';
import { mayChange, type Session, signedIn } from '../state/session.ts';
import { useStore } from '../state/store.ts';
import { useLife } from '../state/stream.ts';
import { type Choice, choose, theme } from '../state/theme.ts';

/** All pages, who is signed in, and how the page looks. On a narrow screen it unfolds below its button. */

export function Navigation({ session, current }: { session: Session; current: string | undefined }) {
  const [open, setOpen] = useState(false);
  const { path } = usePlace();
  useEffect(() => setOpen(false), [path]);
  const pages = PAGES.filter(
    ({ wholeCluster, operators }) =>
      !(wholeCluster && session.domains !== undefined) && !(operators && !mayChange(session)),
  );
  const fold = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') setOpen(false);
  };
  return html`<header class=${`side ${open ? 'open' : ''}`} onKeyDown=${fold}>
    <div class="side-head">
      <a class="brand" href="/"><${Mark} /> Sealpost</a>
      <${Life} />
      <button type="button" class="quiet icon-button menu-button" aria-expanded=${open} aria-controls="navigation"
        aria-label="Navigation" onClick=${() => setOpen(!open)}>
        <${Icon} name=${open ? 'close' : 'menu'} />
      </button>
    </div>
    <div class="side-body" id="navigation">
      <nav aria-label="Console">
        <ul>
          ${pages.map(
            (page) => html`<li key=${page.path}>
              <a href=${page.path} aria-current=${page.path === current ? 'page' : undefined}>
                <${Icon} name=${page.icon} />${page.title}
              </a>
            </li>`,
          )}
        </ul>
      </nav>
      <${Account} session=${session} />
    </div>
  </header>`;
}

/** Whether what is shown is of this moment. */
function Life() {
  const { alive, stale } = useLife();
  if (!alive) return undefined;
  return stale === undefined
    ? html`<span class="life good" title="The figures are of this moment.">live</span>`
    : html`<span class="life bad"><span role="status">no news</span> for ${durationText(stale)}</span>`;
}

const ROLES: Record<Session['role'], string> = {
  viewer: 'sees everything but the text of mail, and changes nothing',
  operator: 'sees and changes',
};

function Account({ session }: { session: Session }) {
  const { person, role, domains, version } = session;
  const signOut = async (): Promise<void> => {
    try {
      await post('sign-out');
      signedIn.set({ state: 'out' });
    } catch (error) {
      complain(error);
    }
  };
  return html`<div class="account">
    <${ThemeSwitch} />
    <div class="person">
      <div>
        <strong title=${person}>${person}</strong>
        <span class="soft" title=${ROLES[role]}>${role}${domains && ` of ${domains.join(', ')}`}</span>
      </div>
      <button type="button" class="quiet icon-button" aria-label="Sign out" title="Sign out" onClick=${signOut}>
        <${Icon} name="leave" />
      </button>
    </div>
    <span class="soft version">Sealpost ${version}</span>
  </div>`;
}

const THEMES = [
  ['auto', 'As the system has it', 'auto'],
  ['light', 'Light', 'light'],
  ['dark', 'Dark', 'dark'],
] as const satisfies (readonly [Choice, string, IconName])[];

function ThemeSwitch() {
  const now = useStore(theme);
  return html`<fieldset class="choice themes">
    <legend class="unseen">Theme</legend>
    ${THEMES.map(
      ([choice, text, icon]) => html`<label key=${choice} title=${text}>
        <input type="radio" name="theme" value=${choice} checked=${choice === now} onChange=${() => choose(choice)} />
        <span><${Icon} name=${icon} /><span class="unseen">${text}</span></span>
      </label>`,
    )}
  </fieldset>`;
}
