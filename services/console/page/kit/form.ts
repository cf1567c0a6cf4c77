import { html, useId } from '/vendor/preact.js';

/** Fields of forms, each with its label, a hint and what is wrong with it. `onValue` gets each change. */

type Common<T> = {
  label: string;
  value: T;
  onValue: (value: T) => void;
  /** What it is for, or its form: `one address a line`. */
  hint?: unknown;
  problem?: string | undefined;
  disabled?: boolean;
};

type FieldProps = { label: string; hint?: unknown; problem?: string | undefined; children: (ids: Ids) => unknown };
/** Attributes of the element that is labelled. */
type Ids = { id: string; 'aria-describedby': string | undefined; 'aria-invalid': boolean | undefined };

/** A label around any element: `<${Field} label="Time">${(ids) => html`<input ...${ids} type="time" />`}<//>` */
export function Field({ label, hint, problem, children }: FieldProps) {
  const id = useId();
  const described = [hint && `${id}-hint`, problem && `${id}-problem`].filter(Boolean).join(' ');
  return html`<div class="field">
    <label class="field-label" for=${id}>${label}</label>
    ${children({ id, 'aria-describedby': described || undefined, 'aria-invalid': problem ? true : undefined })}
    ${hint && html`<div class="hint" id=${`${id}-hint`}>${hint}</div>`}
    ${problem && html`<div class="field-problem" id=${`${id}-problem`}>${problem}</div>`}
  </div>`;
}

const typed = (event: Event): string => (event.target as HTMLInputElement).value;

type TextProps = Common<string> & {
  type?: 'text' | 'email' | 'password' | 'number' | 'search' | 'datetime-local';
  required?: boolean;
  placeholder?: string;
  autocomplete?: string;
  autofocus?: boolean;
  /** Several lines. */
  rows?: number;
};

export function TextField({ label, value, onValue, hint, problem, rows, type = 'text', ...rest }: TextProps) {
  const { autocomplete = 'off', ...attributes } = rest;
  return html`<${Field} label=${label} hint=${hint} problem=${problem}>
    ${(ids: Ids) => {
      const all = { ...ids, ...attributes, autocomplete, value, onInput: (e: Event) => onValue(typed(e)) };
      return rows === undefined
        ? html`<input ...${all} type=${type} spellcheck="false" />`
        : html`<textarea ...${all} rows=${rows} spellcheck="false" />`;
    }}
  <//>`;
}

type SelectProps<T extends string> = Common<T> & { options: readonly (readonly [value: T, text: string])[] };

export function SelectField<T extends string>({
  label,
  value,
  onValue,
  hint,
  problem,
  options,
  disabled,
}: SelectProps<T>) {
  return html`<${Field} label=${label} hint=${hint} problem=${problem}>
    ${(ids: Ids) => html`<select ...${ids} disabled=${disabled} onChange=${(e: Event) => onValue(typed(e) as T)}>
      ${options.map(([one, text]) => html`<option key=${one} value=${one} selected=${one === value}>${text}</option>`)}
    </select>`}
  <//>`;
}

export function CheckField({ label, value, onValue, hint, disabled }: Common<boolean>) {
  const id = useId();
  return html`<div class="field check">
    <input type="checkbox" id=${id} checked=${value} disabled=${disabled} aria-describedby=${hint ? `${id}-hint` : undefined}
      onChange=${(event: Event) => onValue((event.target as HTMLInputElement).checked)} />
    <label for=${id}>${label}</label>
    ${hint && html`<div class="hint" id=${`${id}-hint`}>${hint}</div>`}
  </div>`;
}

type ChoiceProps<T extends string> = Omit<SelectProps<T>, 'problem' | 'disabled'>;

/** A few choices side by side, as tabs of a list or a span of time. */
export function Choice<T extends string>({ label, value, onValue, options }: ChoiceProps<T>) {
  const name = useId();
  return html`<fieldset class="choice">
    <legend class="unseen">${label}</legend>
    ${options.map(
      ([one, text]) => html`<label key=${one}>
        <input type="radio" name=${name} value=${one} checked=${one === value} onChange=${() => onValue(one)} />
        <span>${text}</span>
      </label>`,
    )}
  </fieldset>`;
}
