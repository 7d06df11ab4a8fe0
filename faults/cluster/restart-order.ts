/** In which order a cluster that is down comes back. */

/** One of all orders of these names, by number: the factorial number system. */
export function inOrder(names: readonly string[], number: number): string[] {
  const left = [...names];
  const order: string[] = [];
  for (let rest = number; left.length > 0; rest = Math.floor(rest / (left.length + 1))) {
    order.push(left.splice(rest % left.length, 1)[0]!);
  }
  return order;
}
