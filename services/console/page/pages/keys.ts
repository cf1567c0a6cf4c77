import { html } from '/vendor/preact.js';
import type { PageProps } from '../state/router.ts';
import { KeyList } from './keys/list.ts';
import { OneKey } from './keys/one-key.ts';
import { Rotation } from './keys/rotation.ts';

/** DKIM keys: all of them at /keys, one at /keys/DOMAIN/SELECTOR, the rotation of a domain at /keys/DOMAIN. */

export default function Keys({ rest: [domain, selector] }: PageProps) {
  if (domain === undefined) return html`<${KeyList} />`;
  if (selector === undefined) return html`<${Rotation} domain=${domain} />`;
  return html`<${OneKey} domain=${domain} selector=${selector} />`;
}
