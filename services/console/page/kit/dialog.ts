import { html, useEffect, useId, useRef, useState } from '/vendor/preact.js';
import { problemText } from '../state/api.ts';
import { Store, useStore } from '../state/store.ts';
import { Note } from './badge.ts';
import { Icon } from './icon.ts';
import { act, say } from './toast.ts';

/** Dialogs: the browser's own, which keep the focus inside. */

type DialogProps = {
  title: string;
  onClose: () => void;
  /** For tables and texts that are long. */
  wide?: boolean;
  children?: unknown;
};

/** The first field; where there is none, the button that changes nothing. */
const FIRST_FOCUS = 'form :is(input, select, textarea):not(:disabled), footer button';

/** A dialog that is open for as long as it is rendered. Escape closes it. */
export function Dialog({ title, onClose, wide, children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    dialog?.showModal();
    // By itself the browser would choose the button that closes it.
    dialog?.querySelector<HTMLElement>(FIRST_FOCUS)?.focus();
    return () => {
      dialog?.close();
      // By itself it gives the focus back only where it closes before it is taken out of the page.
      const next = before?.isConnected ? before : document.getElementById('main');
      if (next instanceof HTMLElement) next.focus();
    };
  }, []);
  const cancel = (event: Event): void => {
    event.preventDefault();
    onClose();
  };
  return html`<dialog ref=${ref} class=${wide ? 'wide' : ''} aria-labelledby=${id} onCancel=${cancel}>
    <header class="dialog-head">
      <h2 id=${id}>${title}</h2>
      <button type="button" class="quiet icon-button" aria-label="Close" onClick=${onClose}>
        <${Icon} name="close" />
      </button>
    </header>
    ${children}
  </dialog>`;
}

type FormDialogProps = DialogProps & {
  /** What its button says: `Create the key`. */
  verb: string;
  danger?: boolean;
  /** Where it rejects, the dialog stays and says why. */
  submit: () => Promise<unknown>;
  /** Said when it is done, as a sentence; without it nothing is. */
  done?: string;
};

/** A dialog with fields. It closes when what it asks for is done. */
export function FormDialog({ verb, danger, submit, done, children, ...dialog }: FormDialogProps) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(undefined);
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setProblem(undefined);
    try {
      await submit();
      if (done !== undefined) say(done);
      dialog.onClose();
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`<${Dialog} ...${dialog}>
    <form class="dialog-form" onSubmit=${send}>
      ${children}
      ${problem !== undefined && html`<div role="alert"><${Note} tone="bad" title=${problemText(problem)} /></div>`}
      <footer class="dialog-foot">
        <button type="button" onClick=${dialog.onClose}>Cancel</button>
        <button type="submit" class=${danger ? 'danger' : 'primary'} aria-disabled=${busy}>${busy ? 'Working …' : verb}</button>
      </footer>
    </form>
  <//>`;
}

/** What is asked before something is done that cannot be taken back, or that stops mail. */
export type Question = {
  /** Names the exact thing: `Remove message 3f2a?` */
  title: string;
  /** What will happen, as sentences. */
  text: unknown;
  verb: string;
  /** It destroys, or cannot be taken back. */
  danger?: boolean;
  /** A word to type first, where much is lost: the name of the thing. */
  typed?: string;
};

type Asked = Question & { answer: (yes: boolean) => void };
const asked = new Store<Asked | undefined>(undefined);

/** Ask; false where the answer is no. */
export function confirmed(question: Question): Promise<boolean> {
  asked.value?.answer(false);
  return new Promise((resolve) => {
    asked.set({
      ...question,
      answer: (yes) => {
        asked.set(undefined);
        resolve(yes);
      },
    });
  });
}

/** Where questions appear; the shell has it once. */
export function Questions() {
  const question = useStore(asked);
  return question && html`<${QuestionDialog} key=${question.title} ...${question} />`;
}

function QuestionDialog({ title, text, verb, danger, typed, answer }: Asked) {
  const [word, setWord] = useState('');
  const ready = typed === undefined || word.trim() === typed;
  const send = (event: Event): void => {
    event.preventDefault();
    if (ready) answer(true);
  };
  return html`<${Dialog} title=${title} onClose=${() => answer(false)}>
    <form class="dialog-form" onSubmit=${send}>
      <div>${text}</div>
      ${
        typed !== undefined &&
        html`<label class="field">
          <span class="field-label">To go on, type <code>${typed}</code></span>
          <input value=${word} autocomplete="off" onInput=${(e: InputEvent) => setWord((e.target as HTMLInputElement).value)} />
        </label>`
      }
      <footer class="dialog-foot">
        <button type="button" onClick=${() => answer(false)}>Cancel</button>
        <button type="submit" class=${danger ? 'danger' : 'primary'} disabled=${!ready}>${verb}</button>
      </footer>
    </form>
  <//>`;
}

type ActionProps = {
  label: string;
  /** What the button is about, for those who do not see what stands beside it: `Hold message 3f2a`. */
  describe?: string;
  confirm?: Question;
  run: () => Promise<unknown>;
  /** Said when it is done, as a sentence. */
  done: string;
  /** After it is done: read again what is shown. */
  after?: () => unknown;
  kind?: 'primary' | 'danger' | 'small';
};

/** A button that changes something: it asks first where it should, and says what came of it. */
export function ActionButton({ label, describe, confirm, run, done, after, kind }: ActionProps) {
  const [busy, setBusy] = useState(false);
  const click = async (): Promise<void> => {
    if (busy || (confirm !== undefined && !(await confirmed(confirm)))) return;
    setBusy(true);
    const well = await act(run, done);
    setBusy(false);
    if (well) after?.();
  };
  return html`<button type="button" class=${kind ?? ''} aria-label=${describe} aria-disabled=${busy} onClick=${click}>
    ${busy ? 'Working …' : label}
  </button>`;
}
