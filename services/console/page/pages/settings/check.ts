import type { SettingsChecked } from '#services/console/schemas/settings.ts';
import { html, useState } from '/vendor/preact.js';
import { Note } from '../../kit/badge.ts';
import { TextField } from '../../kit/form.ts';
import { complain } from '../../kit/toast.ts';
import { post } from '../../state/api.ts';

/** What is wrong with a configuration, before it is put on a machine. */

export function Check() {
  const [text, setText] = useState('');
  const [checked, setChecked] = useState<SettingsChecked | undefined>(undefined);
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    setChecked(undefined);
    try {
      setChecked(await post<SettingsChecked>('settings/check', { text }));
    } catch (error) {
      complain(error);
    }
  };
  return html`
    <form class="stack" onSubmit=${send}>
      <${TextField} label="sealpost.yaml" rows=${18} value=${text} onValue=${setText} required
        hint="Nothing is changed. Files that it names are not looked at here; where they are, sealpost config check does." />
      <div class="actions"><button type="submit" class="primary">Check</button></div>
    </form>
    <div class="stack" role="status">${checked && html`<${Result} ...${checked} />`}</div>
  `;
}

function Result({ problems, warnings }: SettingsChecked) {
  return html`
    ${problems.length === 0 && html`<${Note} tone="good" title="It is valid." />`}
    ${problems.map(
      ({
        path,
        line,
        message,
      }) => html`<${Note} key=${`${line} ${path} ${message}`} tone="bad" title=${path || 'The file'}>
        ${line === undefined ? '' : `line ${line}: `}${message}
      <//>`,
    )}
    ${warnings.map((warning) => html`<${Note} key=${warning} tone="warn" title=${warning} />`)}
  `;
}
