import type { TestListeners, TestMailReply } from '#services/console/schemas/test-mail.ts';
import { html, useState } from '/vendor/preact.js';
import { Note } from '../kit/badge.ts';
import { Card, Empty, PageHead, shown } from '../kit/layout.ts';
import { useData } from '../state/data.ts';
import { mayChange, useSession } from '../state/session.ts';
import { TestForm } from './try/form.ts';
import { Journey } from './try/journey.ts';
import { Session } from './try/session.ts';

/** A test message: what a listener says at each step and why, and what becomes of the message. */

export default function Try() {
  const isOperator = mayChange(useSession());
  const listeners = useData<TestListeners>(isOperator ? 'test-mail/listeners' : undefined);
  const [sent, setSent] = useState<TestMailReply | undefined>(undefined);
  return html`
    <${PageHead} title="Try it">Send a test message through a listener, and see what is said and done at each step.<//>
    ${
      isOperator
        ? shown(listeners, (found) => html`<${Composed} found=${found} onSent=${setSent} />`)
        : html`<${Empty} title="Test messages are sent by operators">You can see everything and change nothing.<//>`
    }
    ${
      sent !== undefined &&
      html`<div class="columns message-columns">
      <${Card} title="At the listener"><${Session} sent=${sent} /><//>
      <${Card} title="Afterwards">
        ${
          sent.queueId === undefined
            ? html`<${Empty} title="It was not accepted">Nothing was put into a queue.<//>`
            : html`<${Journey} key=${sent.queueId} id=${sent.queueId} />`
        }
      <//>
    </div>`
    }
  `;
}

type ComposedProps = { found: TestListeners; onSent: (sent: TestMailReply | undefined) => void };

function Composed({ found, onSent }: ComposedProps) {
  return html`
    ${found.silent.map(
      ({ node, error }) =>
        html`<${Note} key=${node} tone="warn" title=${`The listeners of ${node} are not known.`}>${error}<//>`,
    )}
    ${
      found.listeners.length === 0
        ? html`<${Empty} title="No listener is open"><code>sealpost cluster status</code> shows what runs.<//>`
        : html`<${Card} title="Message"><${TestForm} listeners=${found.listeners} onSent=${onSent} /><//>`
    }
  `;
}
