import { writeSync } from 'node:fs';
import { errorCode } from '#shared/errors.ts';
import { envelope, messageOf, OK, readAll, TestRouter } from '#test/unit/router/fixture.ts';

/**
 * A router under load until it is killed: `node killed-router.ts <data> [recipients of a message]`. Every event is on
 * standard output before anything else happens: `accepted`, `sent` (the next hop has it) and `finished` (so says the disk).
 */

const [, , data = '', recipients = '2'] = process.argv;
const to = Array.from({ length: Number(recipients) }, (_, n) => `user${n}@peer.example`);

function say(event: string, id: string): void {
  for (;;) {
    try {
      writeSync(1, `${event} ${id}\n`);
      return;
    } catch (error) {
      // The reader of our pipe lags: wait for it, with everything else.
      if (errorCode(error) !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

let deliveries = 0;
const router = await TestRouter.start(data, {
  prepare({ delivery }) {
    delivery.automatic = async (given) => {
      const opened = await given.job.open();
      if (!opened.ok) throw new Error(opened.reply.text);
      await readAll(opened);
      // Every third one stays with its next hop for good, so that there is always mail under way.
      if (++deliveries % 3 === 0) return new Promise(() => undefined);
      say('sent', given.job.queueId);
      await given.end('delivered', OK);
      say('finished', given.job.queueId);
    };
  },
});
say('started', '-');

async function sender(size: number): Promise<void> {
  for (;;) {
    say('accepted', await router.send({ envelope: envelope(to), message: messageOf(size) }));
  }
}

await Promise.all([100, 3000, 10_000, 50_000, 200_000].map(sender));
