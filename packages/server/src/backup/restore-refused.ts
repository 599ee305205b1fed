/** What the person who asked can mend; nothing was changed. */
export class RestoreRefused extends Error {
  readonly next: string;
  constructor(what: string, next: string) {
    super(what);
    this.name = "RestoreRefused";
    this.next = next;
  }
}
