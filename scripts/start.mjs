// npm start: builds what is out of date, then becomes PhoenixPair. Same process, so that signals
// reach it.
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Node ${process.versions.node} is too old: PhoenixPair needs Node 20.19 or later`);
  process.exit(1);
}
const { build } = await import("./build.mjs");
try {
  build();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
await import("../dist/app/main.js");
