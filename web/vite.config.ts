import { defineConfig, type Plugin } from 'vite';

const LB = process.env['PE_LB'] ?? 'http://127.0.0.1:8080';

/** What pe-lb does for these paths: `/s/ID` and `/embed` are the page, `/sandbox` is the sandbox. */
const paths: Plugin = {
  name: 'pe-paths',
  configureServer: (server) => void server.middlewares.use((request, _response, next) => {
    if (/^\/(?:embed(?:\/s\/[\w-]+)?|s\/[\w-]+)$/.test(request.url ?? '')) request.url = '/index.html';
    if (request.url === '/sandbox') request.url = '/sandbox.html';
    next();
  }),
};

export default defineConfig({
  plugins: [paths],
  // A file of an opaque origin is of another origin than the sandbox.
  server: { proxy: { '/api': LB, '/docs': LB }, cors: { origin: '*' } },
  build: {
    target: 'es2022',
    manifest: 'manifest.json',
    // An inlined asset would be a data: URL, which the page's policy refuses for scripts and fonts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1500,
    rollupOptions: { input: { index: 'index.html', sandbox: 'sandbox.html' } },
  },
});
