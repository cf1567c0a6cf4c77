import { html } from '/vendor/preact.js';
import { PageHead } from '../kit/layout.ts';

export default function Page() {
  return html`<${PageHead} title="Messages" />`;
}
