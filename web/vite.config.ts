import { defineConfig } from 'vitest/config';

// Django's template names both files, so they carry no hash; its static storage adds one where wanted.
export default defineConfig({
  publicDir: false,
  build: {
    target: ['chrome87', 'edge88', 'firefox84', 'safari14'],
    modulePreload: false,
    cssCodeSplit: false,
    sourcemap: false,
    rollupOptions: {
      input: 'src/main.ts',
      output: {
        entryFileNames: 'command-center.js',
        assetFileNames: 'command-center[extname]',
        codeSplitting: false,
      },
    },
  },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
});
