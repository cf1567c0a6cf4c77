/**
 * Work for the end of this turn of the loop, in its order.
 *
 * The client of NATS writes to its socket once for all that is published in one go, and a process under load is busy with such
 * writes above all: a turn reads what many clients sent, and each causes a request or a reply. Put off to the end of the turn
 * they leave together. Where there is little to do a turn ends at once.
 */
let waiting: (() => void)[] = [];

/** `work` must not throw. */
export function atTurnEnd(work: () => void): void {
  if (waiting.push(work) > 1) return;
  setImmediate(() => {
    const all = waiting;
    waiting = [];
    for (const one of all) one();
  });
}

/** Resolves when all that was put off until now is done. */
export function turnEnded(): Promise<void> {
  return new Promise(atTurnEnd);
}
