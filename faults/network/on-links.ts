/** What every network fault does alike: choose its links, put the fault on each, and tell what it touched. */
import type { FaultTarget, Injection, Link, LinkFault } from "../contract.ts";

/**
 * The link that a drawn number stands for, or all of them for `"all"`. Plans are drawn before the number of clients is
 * known, hence the modulus.
 */
export function chooseLinks(target: FaultTarget, link: unknown): readonly Link[] {
  if (link === "all") return target.links;
  const chosen = target.links[Number(link) % Math.max(1, target.links.length)];
  return chosen ? [chosen] : [];
}

/** Puts one fault on each of the links. It has fired once bytes or connections were touched on any of them. */
export function injectOnLinks(links: readonly Link[], put: (link: Link) => LinkFault): Injection {
  const faults = links.map((link) => ({ link: link.name, fault: put(link) }));
  return {
    fired() {
      const touched = faults.filter(({ fault }) => fault.touched() > 0);
      if (touched.length === 0) return undefined;
      return {
        links: touched.map(({ link }) => link),
        touched: touched.reduce((sum, { fault }) => sum + fault.touched(), 0),
      };
    },
    heal() {
      for (const { fault } of faults) fault.heal();
    },
  };
}
