/** Reading a file of Jepsen operations, form by form: what EDN and JSON have in common. */
import type { HistoryEvent } from "../operation.ts";
import type { FormatEnd, ReadOptions } from "./contract.ts";
import { type Form, formsOf, placeOf, type Syntax } from "./forms.ts";
import { looksIndependent, type Seen, seenOf } from "./independent.ts";
import { JepsenReading, type Members, type Notation, type ReadingOptions } from "./jepsen-reading.ts";

/** How the file is written. */
export interface FormSource {
  readonly syntax: Syntax;
  readonly notation: Notation;
  /** The members of one form; `undefined` for one that says nothing. @throws HistoryError naming its line. */
  parse(form: Form): Members | undefined;
}

/** @throws HistoryError naming the line. */
export function* readJepsenForms(
  path: string,
  source: FormSource,
  options: ReadOptions,
  also: Pick<ReadingOptions, "keyMember" | "adapt"> = {},
): Generator<HistoryEvent, FormatEnd, undefined> {
  const independent =
    !also.keyMember && (options.independent === "auto" || options.independent === undefined)
      ? looksIndependent(seenIn(path, source, options), source.notation.nameOf)
      : options.independent === true;
  const reading = new JepsenReading(source.notation, { ...options, ...also, independent });
  const forms = formsOf(path, source.syntax, options.maxFormBytes);
  for (;;) {
    const next = forms.next();
    if (next.done) {
      return { events: reading.events, truncated: next.value.truncated, warnings: reading.finish() };
    }
    const members = source.parse(next.value);
    if (members) yield reading.event(members, placeOf(next.value));
  }
}

function* seenIn(
  path: string,
  { syntax, notation, parse }: FormSource,
  { maxFormBytes }: ReadOptions,
): Generator<Seen, void, undefined> {
  for (const form of formsOf(path, syntax, maxFormBytes)) {
    const members = parse(form);
    if (members) yield seenOf(members, form.bytes.length, notation.nameOf);
  }
}
