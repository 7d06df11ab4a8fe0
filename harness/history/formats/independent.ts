/**
 * Whether a Jepsen history has independent keys. `jepsen.independent` wraps each operation's value in a pair [key value],
 * and prints it as an ordinary vector, so that a file does not say what it is.
 *
 * The rule: looking at the first 2,000 invocations of clients (or 4 MB), each value is a pair, and
 * - a cas is [key [old new]], so its second part is a pair itself (a plain one is [old new]);
 * - a txn is [key micro-operations], so every element of its second part is a vector that begins with a name (in a plain
 *   transaction of two micro-operations the second part begins with a name itself).
 * The rule can be wrong only for a history that writes nothing but pairs and never reads, or whose reads are invoked with
 * pairs; there `independent: true | false` decides.
 */
const invocationsSeen = 2000;
const bytesSeen = 4 * 1024 * 1024;

/** An operation as far as the rule looks at it. */
export interface Seen {
  /** An invocation by a client. */
  readonly asks: boolean;
  readonly f: string;
  readonly value: unknown;
  /** Of the form it came from. */
  readonly bytes: number;
}

/** @param nameOf what a keyword or a string says, in the format at hand. */
export function looksIndependent(
  operations: Iterable<Seen>,
  nameOf: (value: unknown) => string | undefined,
): boolean {
  let invocations = 0;
  let bytes = 0;
  for (const operation of operations) {
    bytes += operation.bytes;
    if (operation.asks && !isKeyed(operation, nameOf)) return false;
    if (operation.asks) invocations++;
    if (invocations >= invocationsSeen || (invocations > 0 && bytes >= bytesSeen)) break;
  }
  return invocations > 0;
}

/** What the rule sees of an operation's members. */
export function seenOf(
  members: ReadonlyMap<string, unknown>,
  bytes: number,
  nameOf: (value: unknown) => string | undefined,
): Seen {
  return {
    asks: typeof members.get("process") === "number" && nameOf(members.get("type")) === "invoke",
    f: nameOf(members.get("f")) ?? "",
    value: members.get("value"),
    bytes,
  };
}

function isKeyed({ f, value }: Seen, nameOf: (value: unknown) => string | undefined): boolean {
  if (!isPair(value)) return false;
  const inner: unknown = value[1];
  if (f === "cas") return isPair(inner);
  if (f !== "txn") return true;
  return (
    Array.isArray(inner) && inner.every((one: unknown) => Array.isArray(one) && nameOf(one[0]) !== undefined)
  );
}

export function isPair(value: unknown): value is readonly [unknown, unknown] {
  return Array.isArray(value) && value.length === 2;
}
