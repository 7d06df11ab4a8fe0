/**
 * Edges from anywhere to every one of a group of transactions, save to itself: with two chains of junctions, one
 * towards each end of the group, so that n members need a number of edges in proportion to n and not to its square.
 */
import { type EdgeBit, edge, type GraphBuilder } from "./dependency-graph.ts";

export class AllButSelf {
  readonly #builder: GraphBuilder;
  /** Of each member: its place in the group. */
  readonly #places = new Map<number, number>();
  /** `#upTo[i]` leads to members 0 to i; `#from[i]` to i and those after it. */
  readonly #upTo: number[] = [];
  readonly #from: number[] = [];

  /** @param members transactions; given twice, one counts once. At least one. */
  constructor(builder: GraphBuilder, members: Iterable<number>) {
    this.#builder = builder;
    for (const member of members) {
      if (!this.#places.has(member)) this.#places.set(member, this.#places.size);
    }
    for (const member of this.#places.keys()) this.#upTo.push(this.#link(member, this.#upTo.at(-1)));
    for (const member of [...this.#places.keys()].reverse())
      this.#from.push(this.#link(member, this.#from.at(-1)));
    this.#from.reverse();
  }

  #link(member: number, neighbour: number | undefined): number {
    const junction = this.#builder.junction();
    this.#builder.add(junction, member, edge.passage);
    if (neighbour !== undefined) this.#builder.add(junction, neighbour, edge.passage);
    return junction;
  }

  /** An edge of the type to all members but the transaction itself. */
  leadFrom(transaction: number, type: EdgeBit, key: number): void {
    const place = this.#places.get(transaction);
    if (place === undefined) {
      this.#builder.add(transaction, this.#upTo.at(-1)!, type, key);
      return;
    }
    if (place > 0) this.#builder.add(transaction, this.#upTo[place - 1]!, type, key);
    const after = this.#from[place + 1];
    if (after !== undefined) this.#builder.add(transaction, after, type, key);
  }
}
