/**
 * One line of our history file as a schema. `historySchema()` is published as `docs/history.schema.json`, for people who
 * write our lines from elsewhere; reading itself uses the hand-written checks of `history-file.ts`, which are faster and
 * name what is wrong. A test holds the two to the same verdict on generated lines, and the published file to this one.
 *
 * Not expressed: that `index` increases from line to line, that invocations and completions fit together, and that a line
 * has at most 200 levels of brackets.
 */
import { z } from "zod";

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);

export const historyLine = z
  .looseObject({
    index: count.describe("Position in the history; greater than the line before. Decides the order."),
    time: z.number().min(0).describe("ns since the run's start, on one monotonic clock. For people."),
    process: z
      .union([count, z.literal("nemesis")])
      .describe("A logical client that does one thing at a time; info retires its number."),
    type: z
      .enum(["invoke", "ok", "fail", "info"])
      .describe("ok: it happened; fail: it certainly did not; info: nobody knows."),
    f: z.string().describe("What was asked: read, write, cas, delete, append, get, put, txn …"),
    workload: z.string().optional().describe("The workload that asked; absent on nemesis lines."),
    key: z.string().optional(),
    value: z
      .unknown()
      .optional()
      .describe("The argument on invoke, the result on completion; [expected, new] for cas."),
    matched: z
      .boolean()
      .optional()
      .describe(
        "false: a compare-and-set that saw another value, which is then in value (without value: not known which).",
      ),
    error: z.string().optional(),
    node: z.string().optional(),
    incarnation: count.optional().describe("Which start of the node, from 0; on invoke and on ready."),
    readBack: z
      .boolean()
      .optional()
      .describe("true on the invocation of a read that is part of a read-back."),
    syncsBegun: count.optional().describe("On invoke: syncs of the log begun so far."),
    syncCompleted: count.optional().describe("On completion: highest begin-number of a completed sync."),
    replyPort: count.optional().describe("On completion: the client's TCP port."),
    replyBytes: count.optional().describe("On completion: bytes received when the reply was complete."),
  })
  .describe("One line of an acked history (history.jsonl). Members with other names are ignored.");

/** The published document, draft 2020-12. */
export function historySchema(): object {
  const schema = z.toJSONSchema(historyLine, { target: "draft-2020-12", io: "input" });
  return { $schema: schema.$schema, title: "acked history line", ...schema };
}
