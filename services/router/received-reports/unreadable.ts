/** Mail that is no report, or none that this program reads; the text says why, as the end of a sentence. */
export class Unreadable extends Error {
  constructor(reason: string, options?: { cause: unknown }) {
    super(reason, options);
    this.name = 'Unreadable';
  }
}
