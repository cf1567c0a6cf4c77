import type { StoreOperation } from '#cluster/store.ts';

/** A copy that becomes a message of the queue. `due`: ms since 1970; `sender`: see store/message.ts. */
export type Adopted = { id: string; due: number; asked: boolean; held: boolean; sender: number };

/** Copies that become messages of the queue, written together. */
export class AdoptionBatch {
  operations: StoreOperation[] = [];
  messages: Adopted[] = [];
  bytes = 0;

  add(...operations: StoreOperation[]): void {
    for (const operation of operations) {
      this.operations.push(operation);
      if (operation.type === 'put') this.bytes += operation.value.length;
    }
  }

  /** Returns a function that takes back what is added from now on. */
  mark(): () => void {
    const { operations, bytes } = this;
    const { length } = operations;
    return () => {
      // What was written meanwhile cannot be taken back: a part of a message, which does no harm.
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
