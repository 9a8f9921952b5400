import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { type Identity, identityKey, namer, ServiceNames } from "../../src/lib/identity";
import { Service } from "../../src/ui/parts";

const service = (name: string, namespace: string | null, environment: string | null): Identity => ({
  name,
  namespace,
  environment,
});

test("a service is named by its name alone, and by all that it says where another has that name", () => {
  const live = service("orders", "shop", "live");
  const staging = service("orders", "shop", "staging");
  const silent = service("orders", null, null);
  const only = service("payment", "shop", "live");
  const nameOf = namer([live, staging, silent, only, { ...only }]);
  expect([live, staging, silent, only].map(nameOf)).toEqual([
    "orders (shop, live)",
    "orders (shop, staging)",
    "orders",
    "payment",
  ]);
  expect(namer([])(live)).toBe("orders");
});

test("views name a service among all that the analyzer knows", () => {
  const live = service("orders", null, "live");
  const shown = (known: Identity[]) => {
    const of = createElement(Service, { of: live });
    return renderToStaticMarkup(createElement(ServiceNames, { value: namer(known) }, of)).replace(/<[^>]*>/g, "");
  };
  expect(shown([live])).toBe("orders");
  expect(shown([live, service("orders", null, "staging")])).toBe("orders (live)");
});

test("no two services share a key, whatever they are called", () => {
  const odd = [service("a", "b", null), service("a", null, "b"), service('a","b', null, null), service("a", "", "b")];
  expect(new Set(odd.map(identityKey)).size).toBe(odd.length);
});
