// Rules for page/*.js: npx eslint --config src/tasks/explore/eslint.config.mjs src/tasks/explore/page
const BROWSER = `atob Blob createImageBitmap clearTimeout DecompressionStream document getComputedStyle ImageData matchMedia
  OffscreenCanvas performance requestAnimationFrame ResizeObserver Response setTimeout window`;

export default [
  {
    languageOptions: { globals: Object.fromEntries(BROWSER.split(/\s+/).map((name) => [name, "readonly"])) },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "array-callback-return": "error",
      "consistent-return": "error",
      eqeqeq: "error",
      "no-const-assign": "error",
      "no-dupe-keys": "error",
      "no-empty": "error",
      "no-shadow": "error",
      "no-undef": "error",
      "no-unreachable": "error",
      "no-unused-expressions": ["error", { allowShortCircuit: true, allowTernary: true }],
      "no-unused-vars": "error",
      "no-use-before-define": ["error", { functions: false, variables: false }],
      "no-var": "error",
      "prefer-const": ["error", { destructuring: "all" }],
    },
  },
];
