import { defineConfig } from 'vitest/config';

// The administrators' pages with a script of their own; any other mode makes the live map's.
const PAGES = ['import-page', 'layout-page'];
const nameOf = (mode: string): string => (PAGES.includes(mode) ? mode : 'command-center');

// Django's template names both files, so they carry no hash; its static storage adds one where wanted.
// Each page is one file: `vite build` makes the live map's, `vite build --mode import-page` that of imports.
export default defineConfig(({ mode }) => ({
  publicDir: false,
  build: {
    emptyOutDir: !PAGES.includes(mode),
    target: ['chrome87', 'edge88', 'firefox84', 'safari14'],
    modulePreload: false,
    cssCodeSplit: false,
    sourcemap: false,
    rollupOptions: {
      input: PAGES.includes(mode) ? `src/${mode}.ts` : 'src/main.ts',
      output: {
        entryFileNames: `${nameOf(mode)}.js`,
        assetFileNames: `${nameOf(mode)}[extname]`,
        codeSplitting: false,
      },
    },
  },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
}));
