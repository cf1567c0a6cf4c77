import type { SignInWays } from '#services/console/schemas/session.ts';
import { html, useEffect, useState } from '/vendor/preact.js';
import { Note } from '../kit/badge.ts';
import { Choice, TextField } from '../kit/form.ts';
import { Mark } from '../kit/icon.ts';
import { Prose } from '../kit/layout.ts';
import { post, problemText } from '../state/api.ts';
import { useData } from '../state/data.ts';
import { go, rememberPlace } from '../state/router.ts';
import { enter, type Session } from '../state/session.ts';

/**
 * The sign-in: a one-time link, a user with a password, a token, or an OpenID provider. It stands at the address that was
 * asked for, so that whoever signs in is there when it is done.
 */

type Way = 'password' | 'token';

export function SignIn({ reason }: { reason?: string | undefined }) {
  const [problem, setProblem] = useState<unknown>(undefined);
  const [busy, setBusy] = useState(false);
  const prove = async (proof: Record<string, string>): Promise<void> => {
    if (busy) return;
    setBusy(true);
    setProblem(undefined);
    try {
      enter(await post<Session>('sign-in', proof));
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  useEffect(() => {
    document.title = 'Sign in · Sealpost';
    const link = takeLink();
    if (link !== undefined) void prove({ link });
    if (wasRefused()) setProblem(new Error(REFUSED));
  }, []);
  return html`<main class="sign-in">
    <div class="card">
      <h1><${Mark} /> Sealpost</h1>
      ${reason !== undefined && problem === undefined && html`<div role="status"><${Note} tone="info" title=${reason} /></div>`}
      ${problem !== undefined && html`<div role="alert"><${Note} tone="bad" title=${html`<${Prose} text=${problemText(problem)} />`} /></div>`}
      <${Ways} prove=${prove} busy=${busy} />
      <p class="soft">
        No way in? On a node of the cluster, <code>sealpost console link</code> prints a link that signs in once.
      </p>
    </div>
  </main>`;
}

/** The secret of a one-time link. It is in the fragment, which browsers send to nobody, and leaves the address here. */
function takeLink(): string | undefined {
  if (location.pathname !== '/sign-in/link') return undefined;
  const secret = location.hash.slice(1);
  go('/', true);
  return secret === '' ? undefined : secret;
}

const REFUSED =
  'The provider did not say who you are, or you have no entry in console.people. The log of the console says which.';

/** The way back from the OpenID provider leads here where it did not succeed. */
function wasRefused(): boolean {
  const refused = location.pathname === '/sign-in' && new URLSearchParams(location.search).has('refused');
  if (refused) go('/', true);
  return refused;
}

function Ways({ prove, busy }: { prove: (proof: Record<string, string>) => Promise<void>; busy: boolean }) {
  const [way, setWay] = useState<Way>('password');
  const [user, setUser] = useState('');
  const [password, setPassword] = useState('');
  const [token, setToken] = useState('');
  const { data } = useData<SignInWays>('sign-in');
  const send = (event: Event): void => {
    event.preventDefault();
    void prove(way === 'token' ? { token } : { user, password });
  };
  const ways = [
    ['password', 'Password'],
    ['token', 'Token'],
  ] as const;
  return html`<form onSubmit=${send}>
    <${Choice} label="Sign in with" value=${way} onValue=${setWay} options=${ways} />
    ${
      way === 'token'
        ? html`<${TextField} key="token" label="Token" type="password" required value=${token} onValue=${setToken}
            autocomplete="off" hint="One of those in the configuration, at console.tokens." />`
        : html`
          <${TextField} key="user" label="User" required value=${user} onValue=${setUser} autocomplete="username" />
          <${TextField} key="password" label="Password" type="password" required value=${password} onValue=${setPassword}
            autocomplete="current-password" />
        `
    }
    <button type="submit" class="primary" aria-disabled=${busy}>${busy ? 'Signing in …' : 'Sign in'}</button>
    ${
      data?.ways.includes('openid') &&
      html`<a class="button" href="/api/sign-in/openid" onClick=${() => rememberPlace()}>Sign in at your provider</a>`
    }
  </form>`;
}
