import { type ClockSkew, ClockView, type MemoryClock } from "@trivet/engine";

/** A node's clock that tells the world whenever code of that node is about to run, so that only its state need be inspected. */
export class NodeClock extends ClockView {
  private readonly entering: () => void;

  constructor(base: MemoryClock, skew: ClockSkew, entering: () => void) {
    super(base, skew);
    this.entering = entering;
  }

  override guard(run: () => void): () => void {
    return super.guard(() => {
      this.entering();
      run();
    });
  }
}
