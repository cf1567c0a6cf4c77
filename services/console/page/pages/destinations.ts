import type { GroupedBy } from '#services/console/schemas/queue.ts';
import { html } from '/vendor/preact.js';
import type { PageProps } from '../state/router.ts';
import { Destination } from './destinations/destination.ts';
import { isChangeable } from './destinations/groups.ts';
import { DestinationList } from './destinations/list.ts';

/** What waits on all nodes, for whom and why: all of it by one of its properties, or one group alone. */

export default function Destinations({ rest: [by, key], query }: PageProps) {
  if (key !== undefined && isChangeable(by))
    return html`<${Destination} key=${key} by=${by as GroupedBy} name=${key} />`;
  return html`<${DestinationList} query=${query} />`;
}
