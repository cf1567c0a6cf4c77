import type { StoreOperation } from '#cluster/store.ts';

/** A copy on its way into the queue. `due`: ms since 1970. */
export type Moved = { id: string; due: number; held: boolean };

/** Messages on their way into the queue, written together. */
export class AdoptionBatch {
  operations: StoreOperation[] = [];
  messages: Moved[] = [];
  bytes = 0;

  add(operation: StoreOperation): void {
    this.operations.push(operation);
    if (operation.type === 'put') this.bytes += operation.value.length;
  }

  /** Returns the way to take back what is added from here on. */
  mark(): () => void {
    const { operations, bytes } = this;
    const { length } = operations;
    return () => {
      // What was written meanwhile cannot be taken back: it is a part of the message that is in nobody's way.
      if (this.operations !== operations) {
        this.operations = [];
        this.bytes = 0;
        return;
      }
      operations.length = length;
      this.bytes = bytes;
    };
  }

  clear(): void {
    this.operations = [];
    this.messages = [];
    this.bytes = 0;
  }
}
