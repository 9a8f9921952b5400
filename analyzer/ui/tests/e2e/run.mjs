// Entry of `npm run e2e`: Node 20 runs no TypeScript, Vite does.
import { runnerImport } from "vite";

const { module } = await runnerImport(new URL("./main.ts", import.meta.url).pathname);
process.exitCode = await module.main(process.argv.slice(2));
