import { defineConfig } from 'vite';

export default defineConfig({
  // Relative addresses, so that the built folder works under any path.
  base: './',
  build: { target: 'es2022' },
  worker: { format: 'es' },
  // It finds its .wasm file by its own address, which bundling in advance would change.
  optimizeDeps: { exclude: ['@vlcn.io/crsqlite-wasm', '@vlcn.io/wa-sqlite'] },
});
