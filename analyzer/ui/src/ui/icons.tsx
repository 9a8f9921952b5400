// The page's few icons, drawn on 16 by 16.

const shapes = {
  overview: "M2.5 2.5h4.5v5h-4.5zM9 2.5h4.5v3h-4.5zM9 7.5h4.5v6h-4.5zM2.5 9.5h4.5v4h-4.5z",
  traces: "M2 3.5h7M5 8h8M8 12.5h6",
  graph:
    "M2 8a2 2 0 1 0 4 0a2 2 0 1 0-4 0M10 3.5a2 2 0 1 0 4 0a2 2 0 1 0-4 0M10 12.5a2 2 0 1 0 4 0a2 2 0 1 0-4 0M5.8 7l4.4-2.6M5.8 9l4.4 2.6",
  play: "M5 3.5l7 4.5-7 4.5z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  sun: "M5 8a3 3 0 1 0 6 0a3 3 0 1 0-6 0M8 1.5v1.5M8 13v1.5M1.5 8h1.5M13 8h1.5M3.4 3.4l1.1 1.1M11.5 11.5l1.1 1.1M12.6 3.4l-1.1 1.1M4.5 11.5l-1.1 1.1",
  moon: "M13.5 9.5a5.8 5.8 0 0 1-7-7a5.8 5.8 0 1 0 7 7z",
  system: "M2 3h12v8h-12zM6 13.5h4",
  close: "M4 4l8 8M12 4l-8 8",
  right: "M6 3.5l4.5 4.5-4.5 4.5",
  left: "M10 3.5l-4.5 4.5 4.5 4.5",
  down: "M3.5 6l4.5 4.5 4.5-4.5",
  refresh: "M13 8a5 5 0 1 1-1.5-3.6M13 2.5v3h-3",
  plus: "M8 3.5v9M3.5 8h9",
  minus: "M3.5 8h9",
  fit: "M2.5 6v-3.5h3.5M10 2.5h3.5v3.5M13.5 10v3.5h-3.5M6 13.5h-3.5v-3.5",
  certain: "M6.5 9.5l3-3M7 5l1.6-1.6a2.8 2.8 0 0 1 4 4l-1.6 1.6M9 11l-1.6 1.6a2.8 2.8 0 0 1-4-4l1.6-1.6",
  likely: "M2.5 6.5c2-2.5 3.5-2.5 5.5-.5s3.5 2 5.5-.5M2.5 11c2-2.5 3.5-2.5 5.5-.5s3.5 2 5.5-.5",
  unlinked: "M7 5l1.6-1.6a2.8 2.8 0 0 1 4 4l-1.6 1.6M9 11l-1.6 1.6a2.8 2.8 0 0 1-4-4l1.6-1.6M2 2l12 12",
  error: "M8 4.5v4.5M8 11.4v.2M8 1.5l6.5 6.5-6.5 6.5-6.5-6.5z",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "M3 8.5l3.5 3.5 6.5-7.5",
  enter: "M2 8h7M6 5l3 3-3 3M9.5 3h4v10h-4",
  external: "M6.5 3.5h-3v9h9v-3M9 2.5h4.5v4.5M13.5 2.5l-6 6",
} as const;

export type IconName = keyof typeof shapes;

/** An icon beside words; it says nothing of its own to those who hear the page. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={shapes[name]} />
    </svg>
  );
}
