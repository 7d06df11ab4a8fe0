/** The two mechanisms that a cluster's network may work by, and what each of them needs and can do here. */
import type { Network } from "../contract.ts";
import { namespacesUnavailable, whatIsOffered } from "./iproute.ts";
import { clientsMost, createNamespaceNetwork, namespaceConditions } from "./namespaces.ts";
import { createProxyNetwork, type ProxyNetworkOptions } from "./proxy-network.ts";

/**
 * A network without members, by that mechanism.
 *
 * @throws ScenarioError where it is not available.
 */
export function createNetwork(
  mechanism: Network["mechanism"],
  options: ProxyNetworkOptions,
): Promise<Network> {
  return mechanism === "proxies" ? createProxyNetwork(options) : createNamespaceNetwork();
}

/** Why that mechanism cannot be used here, and how to get it; `undefined` when it can. */
export function networkUnavailable(mechanism: Network["mechanism"]): string | undefined {
  return mechanism === "proxies" ? undefined : namespacesUnavailable();
}

/** How many clients a network by that mechanism has room for. */
export function networkClientsMost(mechanism: Network["mechanism"]): number {
  return mechanism === "proxies" ? Number.POSITIVE_INFINITY : clientsMost;
}

/** What can be wrong with a link by that mechanism. */
export function networkConditions(mechanism: Network["mechanism"]): Network["can"] {
  if (mechanism === "proxies") return new Set(["drop", "refuse", "delay", "limit", "cut"]);
  return namespaceConditions(whatIsOffered().netem);
}
