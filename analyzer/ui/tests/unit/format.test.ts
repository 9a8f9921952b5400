import { describe, expect, test } from "vitest";
import {
  ago,
  bytes,
  count,
  countShort,
  duration,
  percent,
  plural,
  probability,
  rate,
  sameUnit,
  shortId,
} from "../../src/lib/format";

/** Texts as typed here, with ordinary spaces. */
const plain = (text: string) => text.replaceAll(" ", " ");

describe("durations", () => {
  test.each([
    [0, "0 ms"],
    [0.0000012, "1.2 ns"],
    [0.0421, "42.1 µs"],
    [0.9994, "999 µs"],
    [0.9996, "1 ms"],
    [8.25, "8.25 ms"],
    [12.345, "12.3 ms"],
    [850, "850 ms"],
    [999.6, "1 s"],
    [1250, "1.25 s"],
    [59_940, "59.9 s"],
    [59_960, "1 m 0 s"],
    [90_000, "1 m 30 s"],
    [3_599_600, "1 h 0 m"],
    [5_400_000, "1 h 30 m"],
    [null, "–"],
    [Number.NaN, "–"],
  ])("%s ms reads %s", (ms, words) => expect(plain(duration(ms))).toBe(words));

  test("several share the unit of the largest", () => {
    expect(sameUnit([0.42, 3.456, 120])).toEqual({ values: ["0.42", "3.46", "120"], unit: "ms" });
    expect(sameUnit([0.01, 0.2, null])).toEqual({ values: ["10", "200", "–"], unit: "µs" });
    expect(sameUnit([800, 1500])).toEqual({ values: ["0.8", "1.5"], unit: "s" });
    expect(sameUnit([null])).toEqual({ values: ["–"], unit: "ms" });
  });
});

test.each([
  [0, "0%"],
  [0.0001, "<0.1%"],
  [0.0123, "1.2%"],
  [0.5, "50%"],
  [0.995, "99.5%"],
  [0.9999, ">99.9%"],
  [1, "100%"],
  [undefined, "–"],
])("the share %s reads %s", (share, words) => expect(percent(share)).toBe(words));

test.each([
  [0, "0/s"],
  [0.05, "3/min"],
  [0.0001, "<0.01/min"],
  [2.826, "2.83/s"],
  [150, "150/s"],
  [20_000, "20k/s"],
])("%s a second reads %s", (perSecond, words) => expect(rate(perSecond)).toBe(words));

test.each([
  [1, "1"],
  [0.9999, ">.99"],
  [0.99, ".99"],
  [0.5, ".50"],
  [0.001, "<.01"],
])("the probability %s reads %s: only certainty reads as one", (p, words) => expect(probability(p)).toBe(words));

test("counts keep every digit while they can be compared", () => {
  expect(count(1_234_567)).toBe("1,234,567");
  expect(countShort(9999)).toBe("9,999");
  expect(countShort(12_345)).toBe("12.3k");
  expect(plain(plural(1, "call"))).toBe("1 call");
  expect(plain(plural(2, "call"))).toBe("2 calls");
});

test("bytes and ids", () => {
  expect(plain(bytes(0))).toBe("0 B");
  expect(plain(bytes(1536))).toBe("1.5 KiB");
  expect(plain(bytes(6_412_004))).toBe("6.11 MiB");
  expect(shortId("4bf92f35-77b3-4da6-a3ce-929d0e0e4736")).toBe("4bf92f35");
});

test("how long ago", () => {
  const now = new Date("2026-11-22T12:00:00Z");
  const before = (seconds: number) => plain(ago(new Date(now.getTime() - seconds * 1000), now));
  expect([-5, 1, 42, 90, 7200, 200_000].map(before)).toEqual([
    "just now",
    "just now",
    "42 s ago",
    "1 min ago",
    "2 h ago",
    "2 d ago",
  ]);
});
