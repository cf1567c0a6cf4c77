import { html } from '/vendor/preact.js';
import { problemText } from '../state/api.ts';
import { Store, useStore } from '../state/store.ts';
import { Icon } from './icon.ts';

/** Short notes at the edge of the page: what was done, and what failed. Screen readers read them out. */

type Toast = { id: number; tone: 'good' | 'bad'; text: string };

const SHOWN_MS = { good: 5000, bad: 20_000 };

const toasts = new Store<readonly Toast[]>([]);
let last = 0;

function show(tone: Toast['tone'], text: string): void {
  const id = ++last;
  toasts.set([...toasts.value.slice(-3), { id, tone, text }]);
  setTimeout(() => dismiss(id), SHOWN_MS[tone]);
}

function dismiss(id: number): void {
  toasts.set(toasts.value.filter((toast) => toast.id !== id));
}

/** Say that something was done, as a sentence: `Message 3f2a is held.` */
export const say = (text: string): void => show('good', text);

/** Say why something failed. */
export const complain = (error: unknown): void => show('bad', problemText(error));

/**
 * Do something that changes, and say that it is done. False where it failed: why is shown.
 */
export async function act(work: () => Promise<unknown>, done: string): Promise<boolean> {
  try {
    await work();
  } catch (error) {
    complain(error);
    return false;
  }
  say(done);
  return true;
}

/** Where they appear; the shell has it once. */
export function Toasts() {
  const shown = useStore(toasts);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${shown.map(
      ({ id, tone, text }) => html`<div class=${`toast ${tone}`} key=${id}>
        <${Icon} name=${tone === 'good' ? 'check' : 'error'} />
        <span>${text}</span>
        <button type="button" class="quiet icon-button" aria-label="Dismiss" onClick=${() => dismiss(id)}>
          <${Icon} name="close" />
        </button>
      </div>`,
    )}
  </div>`;
}
