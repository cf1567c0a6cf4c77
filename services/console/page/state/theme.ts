import { Store } from './store.ts';

/**
 * Light or dark: as the system has it, or as chosen here, which this browser keeps. `first-paint.ts` sets it before anything
 * is painted; this follows from then on.
 */

export type Choice = 'auto' | 'light' | 'dark';

export const theme = new Store<Choice>('auto');

const KEY = 'sealpost-theme';

export function startTheme(): void {
  const kept = localStorage.getItem(KEY);
  if (kept === 'light' || kept === 'dark') theme.set(kept);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => choose(theme.value));
}

export function choose(choice: Choice): void {
  if (choice === 'auto') localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, choice);
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.dataset['theme'] = choice === 'auto' ? (dark ? 'dark' : 'light') : choice;
  theme.set(choice);
}
