import { html } from '/vendor/preact.js';
import type { PageProps } from '../state/router.ts';
import { MessageList } from './messages/list.ts';
import { Message } from './messages/message.ts';

/** Mail of all nodes: a search, or the journey of one message. */

export default function Messages({ rest: [id], query }: PageProps) {
  return id === undefined ? html`<${MessageList} query=${query} />` : html`<${Message} key=${id} id=${id} />`;
}
