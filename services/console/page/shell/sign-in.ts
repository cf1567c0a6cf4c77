import type { SignInWays } from '#services/console/schemas/session.ts';
import { html, useEffect, useState } from '/vendor/preact.js';
import { Note } from '../kit/badge.ts';
import { Choice, TextField } from '../kit/form.ts';
import { Mark } from '../kit/icon.ts';
import { Prose } from '../kit/layout.ts';
import { post, problemText } from '../state/api.ts';
import { useData } from '../state/data.ts';
import { go } from '../state/router.ts';
import { enter, type Session } from '../state/session.ts';

/**
 * The sign-in: a one-time link, the password of a user, a token, or an OpenID provider, where there is one. It stands at the address that was asked for, so
 * that whoever signs in is there when it is done.
 */

type Way = 'password' | 'token';

const NOT_AT_PROVIDER =
  'Your provider did not sign you in, or you have no entry in console.people. The log of the console has the reason.';

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
  }, []);
  const ways = useData<SignInWays>('sign-in');
  const refused = problem === undefined && new URLSearchParams(location.search).get('refused') === 'openid';
  return html`<main class="sign-in">
    <div class="card">
      <h1><${Mark} /> Sealpost</h1>
      ${reason !== undefined && problem === undefined && html`<div role="status"><${Note} tone="info" title=${reason} /></div>`}
      ${problem !== undefined && html`<div role="alert"><${Note} tone="bad" title=${html`<${Prose} text=${problemText(problem)} />`} /></div>`}
      ${refused && html`<div role="alert"><${Note} tone="bad" title=${NOT_AT_PROVIDER} /></div>`}
      <${Ways} prove=${prove} busy=${busy} />
      ${
        ways.data?.ways.includes('openid') &&
        html`<p><button type="button" onClick=${() => location.assign('/api/sign-in/openid')}>Sign in at your provider</button></p>`
      }
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

function Ways({ prove, busy }: { prove: (proof: Record<string, string>) => Promise<void>; busy: boolean }) {
  const [way, setWay] = useState<Way>('password');
  const [user, setUser] = useState('');
  const [password, setPassword] = useState('');
  const [token, setToken] = useState('');
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
  </form>`;
}
