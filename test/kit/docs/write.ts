import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PAGES, ROOT } from './pages.ts';

/** `npm run docs`: writes every generated document. */

for (const [file, text] of Object.entries(PAGES)) await writeFile(join(ROOT, file), await text());
