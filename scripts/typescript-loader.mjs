// Lets this thread load TypeScript sources: `node --import ./scripts/typescript-loader.mjs`. Worker
// threads inherit the flag and run this too; plain `--import tsx` serves the main thread only.
import { register } from "tsx/esm/api";

register();
