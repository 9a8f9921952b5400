import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// `npm run dev` shows the page with the data of a running analyzer.
const analyzer = process.env["RACEWAY_UI_ANALYZER"] ?? "http://127.0.0.1:8080";

export default defineConfig(({ command }) => {
  // Whatever the shell says: a page that is built is never a development one.
  if (command === "build") process.env["NODE_ENV"] = "production";
  return {
    // The analyzer serves the page at `/` whatever the route in the address is, so links to assets are absolute.
    base: "/",
    plugins: [react()],
    build: {
      target: "es2022",
      // Cargo's build script gives a directory outside this folder.
      emptyOutDir: true,
      // Everything is embedded in a binary; maps would double it.
      sourcemap: false,
      reportCompressedSize: true,
    },
    server: {
      proxy: Object.fromEntries(["/api", "/status", "/health", "/auth"].map((path) => [path, analyzer])),
    },
    test: {
      include: ["tests/unit/**/*.test.ts"],
      environment: "node",
    },
  };
});
