import type { PlannedFile } from './plan.ts';

/** The file of a password, which hosts with the same one share. */
export function secretFile(files: PlannedFile[], name: string, text: string): string {
  for (let i = 1; ; i++) {
    const path = i === 1 ? `secrets/${name}` : `secrets/${name}-${i}`;
    const there = files.find((file) => file.path === path);
    if (there === undefined) files.push({ path, text });
    if (there === undefined || there.text === text) return path;
  }
}
