import type { DsnLanguage } from '#cluster/config/schema/reports/dsn.ts';
import { GERMAN } from './de.ts';
import { ENGLISH } from './en.ts';
import { FRENCH } from './fr.ts';
import { JAPANESE } from './ja.ts';
import type { Texts } from './texts.ts';

export const TEXTS: Readonly<Record<DsnLanguage, Texts>> = {
  en: ENGLISH,
  de: GERMAN,
  fr: FRENCH,
  ja: JAPANESE,
};
