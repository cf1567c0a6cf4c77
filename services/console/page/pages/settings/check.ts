import type { SettingsChecked } from '#services/console/schemas/settings.ts';
import { html, useState } from '/vendor/preact.js';
import { Badge, Note } from '../../kit/badge.ts';
import { TextField } from '../../kit/form.ts';
import { listText } from '../../kit/format.ts';
import { Card, Empty } from '../../kit/layout.ts';
import { complain } from '../../kit/toast.ts';
import { post } from '../../state/api.ts';

/** What a configuration would change, and what is wrong with it, before it is put on a machine. */

export function Check() {
  const [text, setText] = useState('');
  const [checked, setChecked] = useState<SettingsChecked | undefined>(undefined);
  const [isBusy, setBusy] = useState(false);
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    setChecked(undefined);
    setBusy(true);
    try {
      setChecked(await post<SettingsChecked>('settings/check', { text }));
    } catch (error) {
      complain(error);
    } finally {
      setBusy(false);
    }
  };
  return html`
    <form class="stack" onSubmit=${send}>
      <${TextField} label="sealpost.yaml" rows=${18} value=${text} onValue=${setText} required
        hint="Nothing is changed. Files that it names are not looked at here; where they are, sealpost config check does." />
      <div class="actions"><button type="submit" class="primary" disabled=${isBusy}>${isBusy ? 'Checking …' : 'Check'}</button></div>
    </form>
    <div class="stack" role="status">${checked && html`<${Result} ...${checked} />`}</div>
  `;
}

function Result(checked: SettingsChecked) {
  const { problems, warnings, changes, alarms = [], unknown } = checked;
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
    ${changes !== undefined && html`<${Changes} ...${checked} changes=${changes} />`}
    ${unknown !== undefined && html`<${Note} tone="warn" title=${`The changes are known; ${unknown}.`} />`}
    ${alarms.map(
      ({ change, severity, about, text, help }) => html`
        <${Note} key=${`${change} ${about} ${text}`} tone=${change === 'cleared' ? 'good' : TONES[severity]}
          title=${`${change === 'cleared' ? 'No longer found' : 'Would be found'}: ${about} ${text}.`}>
          ${change === 'raised' && help}
        <//>`,
    )}
  `;
}

const TONES = { error: 'bad', warning: 'warn', note: 'info' } as const;

function Changes({ node, changes, restart }: SettingsChecked & { changes: NonNullable<SettingsChecked['changes']> }) {
  if (changes.length === 0)
    return html`<${Empty} title="It changes nothing">Node ${node} has this configuration already.<//>`;
  const late = [...new Set(changes.filter(({ effect }) => effect === 'restart').map(({ path }) => path))];
  return html`
    ${
      restart !== undefined &&
      html`<${Note} tone="warn" title=${`Node ${node} must be restarted for ${listText(late)}.`}>
        Until then it goes on with the configuration that it has: none of these changes counts, and the alarm config-refused
        says so. ${restart.length > 0 && html`To restart: ${listText(restart)}.`}
      <//>`
    }
    <${Card} title=${`What changes at node ${node}`}>
      <div class="plain-table" role="region" aria-label="Options that change" tabindex="0">
        <table class="changes">
          <thead><tr><th>Option, and when it takes effect</th><th>Before</th><th>After</th></tr></thead>
          <tbody>
            ${changes.map(
              ({ path, before, after, effect }) => html`<tr key=${`${path} ${before} ${after}`}>
                <th scope="row">${path} <${Badge} tone=${effect === 'now' ? 'good' : 'warn'}>${EFFECTS[effect]}<//></th>
                <td>${before ?? html`<span class="soft">not there</span>`}</td>
                <td>${after ?? html`<span class="soft">taken out</span>`}</td>
              </tr>`,
            )}
          </tbody>
        </table>
      </div>
      <p class="soft">Each machine has a file of its own: change it on all that shall have this.</p>
    <//>
  `;
}

const EFFECTS = { now: 'while it runs', restart: 'after a restart' } as const;
