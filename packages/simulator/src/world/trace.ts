/**
 * What happened, as one number: same seed, same hash, on any machine. Also keeps the last lines for the report of a failure.
 */
export class Trace {
  private low = 0x811c9dc5;
  private high = 0x1b873593;
  private readonly lines: string[] = [];
  private readonly keep: number;
  private readonly print: ((line: string) => void) | null;

  constructor(keep: number, print: ((line: string) => void) | null) {
    this.keep = keep;
    this.print = print;
  }

  /** Mixes a number in; fractions of a millisecond count too. */
  number(value: number): void {
    const whole = Math.floor(value);
    this.mix(whole | 0);
    this.mix(Math.floor((value - whole) * 0x100000) ^ Math.floor(whole / 0x100000000));
  }

  text(value: string): void {
    for (let i = 0; i < value.length; i += 1) this.mix(value.charCodeAt(i));
  }

  /** Mixes an event in and keeps it as a line for people. `detail` is only rendered when somebody looks. */
  event(time: number, subject: string, what: string, detail: () => string): void {
    this.number(time);
    this.text(subject);
    this.text(what);
    this.note(time, subject, () => `${what} ${detail()}`);
  }

  /** A line for people only: not part of the hash. */
  note(time: number, subject: string, text: () => string): void {
    if (this.keep === 0 && this.print === null) return;
    const line = `${time.toFixed(3).padStart(11)} ${subject.padEnd(8)} ${text()}`;
    this.print?.(line);
    if (this.keep === 0) return;
    this.lines.push(line);
    if (this.lines.length > this.keep * 2) this.lines.splice(0, this.lines.length - this.keep);
  }

  hash(): string {
    return (this.high >>> 0).toString(16).padStart(8, "0") + (this.low >>> 0).toString(16).padStart(8, "0");
  }

  tail(): readonly string[] {
    return this.lines.slice(-this.keep);
  }

  private mix(value: number): void {
    this.low = Math.imul(this.low ^ value, 0x01000193);
    this.high = (Math.imul(this.high ^ value, 0xcc9e2d51) + this.low) | 0;
    this.high ^= this.high >>> 15;
  }
}
