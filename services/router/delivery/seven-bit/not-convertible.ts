/** The message cannot be made 7-bit without damage; the text says why, as the end of a sentence. */
export class NotConvertible extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'NotConvertible';
  }
}
