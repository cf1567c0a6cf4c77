import type { SettingsReply } from '#services/console/schemas/settings.ts';
import { html, useState } from '/vendor/preact.js';
import { TextField } from '../../kit/form.ts';
import { Card, Empty, shown } from '../../kit/layout.ts';
import { useData } from '../../state/data.ts';

/** The configuration that the node of this console goes by, with every default. */

export function InForce() {
  const settings = useData<SettingsReply>('settings');
  const [wanted, setWanted] = useState('');
  return shown(settings, ({ node, text }) => {
    const sections = sectionsOf(text).filter((one) => one.toLowerCase().includes(wanted.toLowerCase()));
    return html`
      <div class="fields">
        <${TextField} label="Sections with" type="search" value=${wanted} onValue=${setWanted} />
      </div>
      <p class="soft">In force at ${node}. Times are in milliseconds, and secrets are left out.</p>
      ${
        sections.length === 0
          ? html`<${Empty} title="No section has this" />`
          : sections.map((section) => {
              const name = section.slice(0, section.indexOf(':'));
              return html`<${Card} key=${name} title=${name}><pre class="section" tabindex="0" role="group" aria-label=${`Section ${name}`}>${section}</pre><//>`;
            })
      }
    `;
  });
}

/** Each begins with a key in its first column. */
const sectionsOf = (text: string): string[] => text.trimEnd().split(/\n(?=[a-z])/);
