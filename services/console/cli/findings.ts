import type { Finding } from '../reports/doctor/finding.ts';
import { clean } from './table.ts';

/** A finding of `doctor` or of `cluster status` as people read it. */
export function findingLine({ severity, about, text, help }: Finding): string {
  return clean(`${severity}: ${about}: ${text}. To do: ${help}.`);
}
