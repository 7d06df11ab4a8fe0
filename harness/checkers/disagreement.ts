/**
 * Two of our own algorithms say different things about one history, so one of them is wrong. It is no verdict on the store:
 * it ends the run as a failure of acked itself, and the operations are kept so that the fault can be found.
 */
import type { Operation } from "../history/operation.ts";

export class CheckerDisagreement extends Error {
  override readonly name = "CheckerDisagreement";
  /** The partition (a key) that they disagree on. */
  readonly partition: string;
  /** Everything that was judged. */
  readonly operations: readonly Operation[];

  /** @param what what each of them says, in one sentence. */
  constructor(partition: string, what: string, operations: readonly Operation[]) {
    super(`${partition === "" ? "" : `key ${partition}: `}${what}`);
    this.partition = partition;
    this.operations = operations;
  }
}
