/** Follows the lengths of lists through a log, so that a push can be made to fit a state it was not recorded on. */
import { type Change, List } from "../ramlog/state.ts";

export class ListLengths {
  private readonly lengths = new Map<string, number>();

  /** A value put in place, by a change or from a snapshot. */
  put(table: string, key: string, value: unknown): void {
    if (value instanceof List) this.lengths.set(place(table, key), value.length);
    else this.lengths.delete(place(table, key));
  }

  /** The same change; a push with the length its list has here. */
  fit(change: Change): Change {
    if (change.kind === "clear") return change;
    if (change.kind === "put" || change.kind === "delete") {
      this.put(change.table, change.key, change.kind === "put" ? change.value : undefined);
      return change;
    }
    const at = this.lengths.get(place(change.table, change.key)) ?? 0;
    this.lengths.set(place(change.table, change.key), at + change.elements.length);
    return { ...change, at };
  }
}

function place(table: string, key: string): string {
  return `${table.length}:${table}${key}`;
}
