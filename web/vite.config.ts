import { defineConfig } from 'vitest/config';

const nameOf = (mode: string): string => (mode === 'import-page' ? mode : 'command-center');

// Django's template names both files, so they carry no hash; its static storage adds one where wanted.
// Two pages, each one file: `vite build` makes the live map's, `vite build --mode import-page` that of imports.
export default defineConfig(({ mode }) => ({
  publicDir: false,
  build: {
    emptyOutDir: mode !== 'import-page',
    target: ['chrome87', 'edge88', 'firefox84', 'safari14'],
    modulePreload: false,
    cssCodeSplit: false,
    sourcemap: false,
    rollupOptions: {
      input: mode === 'import-page' ? 'src/import-page.ts' : 'src/main.ts',
      output: {
        entryFileNames: `${nameOf(mode)}.js`,
        assetFileNames: `${nameOf(mode)}[extname]`,
        codeSplitting: false,
      },
    },
  },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
}));
