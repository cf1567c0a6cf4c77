import { html, useState } from '/vendor/preact.js';
import { Icon } from './icon.ts';
import { complain } from './toast.ts';

/** A button that copies `text`; `label` says what that is: `Copy the record`. */
export function CopyButton({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      complain(new Error('The browser did not let the page copy. Select the text and copy it by hand.'));
      return;
    }
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return html`<button type="button" class="small" aria-label=${label} title=${label} onClick=${copy}>
    <${Icon} name=${copied ? 'check' : 'copy'} />
    <span aria-live="polite">${copied ? 'Copied' : 'Copy'}</span>
  </button>`;
}

/** A text to copy whole, such as a DNS record, with its button. */
export function Copyable({ text, label }: { text: string; label: string }) {
  return html`<div class="copyable">
    <pre tabindex="0" role="group" aria-label=${label}>${text}</pre>
    <${CopyButton} text=${text} label=${`Copy ${label}`} />
  </div>`;
}
