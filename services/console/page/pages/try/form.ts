import type { TestListeners, TestMailReply } from '#services/console/schemas/test-mail.ts';
import { html, useState } from '/vendor/preact.js';
import { Note } from '../../kit/badge.ts';
import { SelectField, TextField } from '../../kit/form.ts';
import { Prose } from '../../kit/layout.ts';
import { post, problemText } from '../../state/api.ts';
import { useSession } from '../../state/session.ts';

/** What is sent, and where. */

type Listener = TestListeners['listeners'][number];
type FormProps = { listeners: readonly Listener[]; onSent: (sent: TestMailReply | undefined) => void };

const keyOf = ({ node, name }: Listener): string => JSON.stringify([node, name]);
const textOf = ({ node, name, kind, port }: Listener): string => `${name} of ${node} (${kind}, port ${port})`;

export function TestForm({ listeners, onSent }: FormProps) {
  const { domains } = useSession();
  const [fields, setFields] = useState({ from: '', to: '', subject: 'A test', text: 'Hello.', user: '', password: '' });
  const [chosen, setChosen] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(undefined);
  const listener = listeners.find((one) => keyOf(one) === chosen) ?? listeners[0];
  const field = (name: keyof typeof fields) => ({
    value: fields[name],
    onValue: (value: string) => setFields((old) => ({ ...old, [name]: value })),
  });
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy || listener === undefined) return;
    setBusy(true);
    setProblem(undefined);
    onSent(undefined);
    const { user, password, ...mail } = fields;
    const login = user === '' ? undefined : { user, password };
    try {
      onSent(await post<TestMailReply>('test-mail', { ...mail, node: listener.node, listener: listener.name, login }));
    } catch (error) {
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  return html`<form class="stack" onSubmit=${send}>
    <${SelectField} label="Listener" value=${listener && keyOf(listener)} onValue=${setChosen} hint=${listener && hintOf(listener)}
      options=${listeners.map((one) => [keyOf(one), textOf(one)])} />
    <div class="columns">
      <${TextField} label="From" type="email" required ...${field('from')} hint=${senderHint(domains)} />
      <${TextField} label="To" type="email" required ...${field('to')} />
    </div>
    <${LoginFields} user=${field('user')} password=${field('password')} required=${listener?.kind === 'submission'} />
    <${TextField} label="Subject" ...${field('subject')} />
    <${TextField} label="Text" rows=${3} ...${field('text')} />
    ${
      problem !== undefined &&
      html`<div role="alert"><${Note} tone="bad" title=${html`<${Prose} text=${problemText(problem)} />`} /></div>`
    }
    <div class="actions">
      <button type="submit" class="primary" aria-disabled=${busy}>${busy ? 'Sending …' : 'Send the message'}</button>
    </div>
  </form>`;
}

type Bound = { value: string; onValue: (value: string) => void };

function LoginFields({ user, password, required }: { user: Bound; password: Bound; required: boolean }) {
  return html`<div class="columns">
    <${TextField} label="User" ...${user} required=${required} hint="Who logs in; empty: nobody." />
    <${TextField} label="Password" type="password" ...${password} required=${user.value !== ''}
      hint="An app password of the user will do." />
  </div>`;
}

const senderHint = (domains: readonly string[] | undefined): string =>
  domains === undefined
    ? 'Of the envelope and of the header.'
    : `An address of ${domains.join(', ')}, in the envelope and in the header.`;

const hintOf = ({ kind }: Listener): string =>
  kind === 'submission'
    ? 'For mail of users, who log in.'
    : 'For mail between servers. It comes from the machine of the listener, which may be allowed more than others.';
