import type { AppPasswordMade, UserListed } from '#services/console/schemas/people.ts';
import { html, useRef, useState } from '/vendor/preact.js';
import { Copyable } from '../../kit/copy.ts';
import { Dialog, FormDialog } from '../../kit/dialog.ts';
import { TextField } from '../../kit/form.ts';
import { post, put, segment } from '../../state/api.ts';
import { FirstEntry, type FormProps, lines } from './fields.ts';

/** What is asked before a user is added or changed. */

const ADDRESSES =
  'One a line. The user receives mail for them and may send as them; @example.com lets send as any of it.';
const BEHALF = 'One a line: for whom the user may send with an own address as Sender.';

export function AddUser({ first, onClose, after }: FormProps & { first: boolean }) {
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [addresses, setAddresses] = useState('');
  const submit = async (): Promise<void> => {
    await post('users', { name, password, addresses: lines(addresses) });
    after();
  };
  return html`<${FormDialog} title="Add a user" verb="Add the user" onClose=${onClose} submit=${submit} done=${`${name} can log in.`}>
    ${first && html`<${FirstEntry} />`}
    <${TextField} label="Name" value=${name} onValue=${setName} required hint="With which the user logs in." />
    <${TextField} label="Password" type="password" value=${password} onValue=${setPassword} required autocomplete="new-password" />
    <${TextField} label="Addresses" value=${addresses} onValue=${setAddresses} rows=${3} required hint=${ADDRESSES} />
  <//>`;
}

type OfUser = FormProps & { user: UserListed };

export function SetPassword({ user: { name }, onClose, after }: OfUser) {
  const [password, setPassword] = useState('');
  const submit = async (): Promise<void> => {
    await put(`users/${segment(name)}/password`, { password });
    after();
  };
  return html`<${FormDialog} title=${`New password of ${name}`} verb="Set the password" onClose=${onClose} submit=${submit}
    done=${`${name} has a new password.`}>
    <p>The old one ends at once on all nodes. App passwords stay.</p>
    <${TextField} label="New password" type="password" value=${password} onValue=${setPassword} required autocomplete="new-password" />
  <//>`;
}

export function SetAddresses({ user, onClose, after }: OfUser) {
  const [addresses, setAddresses] = useState(user.addresses.join('\n'));
  const [others, setOthers] = useState(user.onBehalfOf.join('\n'));
  const submit = async (): Promise<void> => {
    const body = { addresses: lines(addresses), onBehalfOf: lines(others) };
    await put(`users/${segment(user.name)}/addresses`, body);
    after();
  };
  return html`<${FormDialog} title=${`Addresses of ${user.name}`} verb="Change the addresses" onClose=${onClose} submit=${submit}
    done=${`${user.name} has these addresses.`}>
    <${TextField} label="Addresses" value=${addresses} onValue=${setAddresses} rows=${4} hint=${ADDRESSES} />
    <${TextField} label="On behalf of" value=${others} onValue=${setOthers} rows=${2} hint=${BEHALF} />
  <//>`;
}

export function AddAppPassword({ user, onClose, after }: OfUser) {
  const [name, setName] = useState('');
  const [networks, setNetworks] = useState('');
  const [made, setMade] = useState<string | undefined>(undefined);
  // The form closes when the password is made, and what shows it takes its place.
  const password = useRef<string | undefined>(undefined);
  const close = (): void => (password.current === undefined ? onClose() : setMade(password.current));
  const submit = async (): Promise<void> => {
    const path = `users/${segment(user.name)}/app-passwords`;
    const reply = await post<AppPasswordMade>(path, { name, networks: lines(networks) });
    password.current = reply.password;
    after();
  };
  if (made !== undefined) {
    return html`<${Dialog} title=${`App password ${name} of ${user.name}`} onClose=${onClose}>
      <div class="dialog-form">
        <p>It is shown only now. Log in as ${user.name} with it in place of the password; spaces, hyphens and case do not count.</p>
        <${Copyable} text=${made} label="the app password" />
        <footer class="dialog-foot"><button type="button" class="primary" onClick=${onClose}>I have it</button></footer>
      </div>
    <//>`;
  }
  return html`<${FormDialog} title=${`App password for ${user.name}`} verb="Make the password" onClose=${close} submit=${submit}>
    <${TextField} label="Name" value=${name} onValue=${setName} required placeholder="phone" hint="What it is for: the name of a program or device." />
    <${TextField} label="Networks" value=${networks} onValue=${setNetworks} rows=${2} hint="Where alone it may be used: addresses or networks, one a line. Empty: anywhere." />
  <//>`;
}
