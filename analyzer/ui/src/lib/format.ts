// Numbers and times as people read them. Everything here is pure and in English, the page's one language.

const NO_BREAK = " ";
const DASH = "–";

/** 0.0421 → `42.1 µs`, 8.25 → `8.25 ms`, 1250 → `1.25 s`, 90_000 → `1 m 30 s`. Three significant digits. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return DASH;
  const size = Math.abs(ms);
  if (size === 0) return `0${NO_BREAK}ms`;
  // The limits are where three digits would round up into the next unit.
  if (size < 0.0009995) return `${digits(ms * 1e6)}${NO_BREAK}ns`;
  if (size < 0.9995) return `${digits(ms * 1e3)}${NO_BREAK}µs`;
  if (size < 999.5) return `${digits(ms)}${NO_BREAK}ms`;
  if (size < 59_950) return `${digits(ms / 1e3)}${NO_BREAK}s`;
  const seconds = Math.round(size / 1e3);
  const sign = ms < 0 ? "-" : "";
  if (seconds < 3600) return `${sign}${Math.floor(seconds / 60)}${NO_BREAK}m${NO_BREAK}${seconds % 60}${NO_BREAK}s`;
  const minutes = Math.round(size / 6e4);
  return `${sign}${Math.floor(minutes / 60)}${NO_BREAK}h${NO_BREAK}${minutes % 60}${NO_BREAK}m`;
}

/** Three significant digits, without an exponent and without trailing zeros: 1234 → `1234`, 12.345 → `12.3`. */
function digits(value: number): string {
  const size = Math.abs(value);
  const decimals = size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  return String(Number(value.toFixed(decimals)));
}

/** Several durations in the unit of the largest: `0.42 · 3.1 · 120 ms`, given as their numbers and the unit. */
export function sameUnit(list: readonly (number | null)[]): { values: string[]; unit: string } {
  const most = Math.max(0, ...list.map((ms) => ms ?? 0));
  const [unit, factor] = most >= 999.5 ? ["s", 1e-3] : most >= 0.9995 || most === 0 ? ["ms", 1] : ["µs", 1e3];
  return { values: list.map((ms) => (ms === null ? DASH : digits(ms * factor))), unit };
}

const WHOLE = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const COMPACT = new Intl.NumberFormat("en-GB", { notation: "compact", maximumSignificantDigits: 3 });

/** 12345 → `12,345`. */
export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? DASH : WHOLE.format(value);
}

/** 12345 → `12.3K`; below ten thousand every digit, which is what one compares with a script's own count. */
export function countShort(value: number): string {
  return value < 10_000 ? WHOLE.format(value) : COMPACT.format(value);
}

/** `1 call`, `2 calls`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)}${NO_BREAK}${value === 1 ? one : many}`;
}

/** A share of one as a percentage. What is not zero never reads as zero, what is not all never as all. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return DASH;
  if (share <= 0) return "0%";
  if (share >= 1) return "100%";
  const value = share * 100;
  if (value < 0.1) return "<0.1%";
  if (value > 99.9) return ">99.9%";
  return `${Number(value.toFixed(value < 10 || value > 99 ? 1 : 0))}%`;
}

/** Events per second, or per minute where that reads better: 0.05 → `3/min`. */
export function rate(perSecond: number | null | undefined): string {
  if (perSecond === null || perSecond === undefined || !Number.isFinite(perSecond)) return DASH;
  if (perSecond === 0) return "0/s";
  if (perSecond >= 0.995) return `${perSecond >= 9950 ? COMPACT.format(perSecond) : digits(perSecond)}/s`;
  const perMinute = perSecond * 60;
  return perMinute < 0.01 ? "<0.01/min" : `${digits(perMinute)}/min`;
}

/** A probability in hundredths, never rounded up to certain: .9999 → `>.99`. */
export function probability(p: number): string {
  if (p >= 1) return "1";
  if (p > 0.99) return ">.99";
  if (p < 0.01) return "<.01";
  return p.toFixed(2).replace(/^0/, "");
}

/** 1536 → `1.5 KiB`. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  while (size >= 1023.5 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${digits(size)}${NO_BREAK}${units[unit]}`;
}

/** How long ago, in the largest unit that fits: `just now`, `12 s ago`, `3 h ago`. */
export function ago(then: Date, now: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - then.getTime()) / 1000));
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${seconds}${NO_BREAK}s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}${NO_BREAK}min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}${NO_BREAK}h ago`;
  return `${Math.floor(seconds / 86_400)}${NO_BREAK}d ago`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
});
const DAY = new Intl.DateTimeFormat("en-GB", { year: "numeric", month: "short", day: "numeric" });

/** `14:03:07.251`, in the reader's time zone. */
export function clockTime(at: Date): string {
  return CLOCK.format(at);
}

/** `22 Nov 2026, 14:03:07.251`, in the reader's time zone. */
export function dateTime(at: Date): string {
  return `${DAY.format(at)}, ${CLOCK.format(at)}`;
}

/** The first eight digits of a trace id: enough to tell rows apart by eye. */
export function shortId(id: string): string {
  return id.replaceAll("-", "").slice(0, 8);
}
