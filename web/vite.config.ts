import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** Where a kernel listens while the console is worked on: `npm run dev` passes the API on to it. */
const kernel = process.env.PLATFORM_KERNEL ?? "http://localhost:8080";

export default defineConfig({
  plugins: [react()],
  build: {
    // The server hands out everything below /console/ as unchanging.
    assetsDir: "console",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2023",
    cssTarget: "chrome120",
    reportCompressedSize: false,
  },
  server: {
    proxy: Object.fromEntries(
      ["/api", "/open", "/docs", "/openapi.json", "/health", "/problems"].map((path) => [
        path,
        { target: kernel, changeOrigin: true, ws: true, headers: { origin: kernel } },
      ]),
    ),
  },
  test: {
    projects: [
      { extends: true, test: { name: "unit", include: ["src/**/*.test.{ts,tsx}"], environment: "node" } },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["e2e/**/*.test.ts"],
          environment: "node",
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
