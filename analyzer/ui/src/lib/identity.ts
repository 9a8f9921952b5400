// Who a service is. A name alone does not tell two namespaces or two environments apart.

import { createContext } from "react";

/** A service. */
export type Identity = { name: string; namespace: string | null; environment: string | null };

/** As it stands in spans, shares of a path, and others that are about something of a service. */
type Placed = { service: string; namespace: string | null; environment: string | null };

/** The service of a span, of a share … */
export function serviceOf({ service, namespace, environment }: Placed): Identity {
  return { name: service, namespace, environment };
}

/** The same text for the same service, another for another. */
export function identityKey({ name, namespace, environment }: Identity): string {
  return JSON.stringify([name, namespace, environment]);
}

/** `orders`, `orders (shop)`, `orders (shop, staging)`. */
export function longName({ name, namespace, environment }: Identity): string {
  const parts = [namespace, environment].filter((part) => part !== null);
  return parts.length > 0 ? `${name} (${parts.join(", ")})` : name;
}

/** Names services: by namespace and environment too where another of `all` has the same name. */
export function namer(all: Iterable<Identity>): (one: Identity) => string {
  const byName = new Map<string, Set<string>>();
  for (const one of all) byName.set(one.name, (byName.get(one.name) ?? new Set()).add(identityKey(one)));
  return (one) => ((byName.get(one.name)?.size ?? 0) > 1 ? longName(one) : one.name);
}

/** Names services among all that the analyzer knows. */
export const ServiceNames = createContext<(one: Identity) => string>((one) => one.name);
