/** Starts PhoenixPair from the environment, and ends it on SIGTERM or SIGINT. */
import { watchMainThread } from "simurgh/runtime";
import { readConfig, StartupError } from "./config.js";
import { startServer } from "./server.js";

/** Milliseconds an orderly end may take. */
const STOP_DEADLINE_MS = 9000;

async function main(): Promise<void> {
  const config = readConfig(process.env);
  if (config.watchdogMs > 0) watchMainThread({ stallMs: config.watchdogMs });
  const starting = startServer(config);
  let stopping = false;
  const stop = (): void => {
    if (stopping) process.exit(1);
    stopping = true;
    setTimeout(() => {
      console.error("the server did not stop in time");
      process.exit(1);
    }, STOP_DEADLINE_MS).unref();
    // Also while it starts: a supervisor may stop it at once.
    const stopped = starting.then((server) => server.stop());
    stopped.then(
      () => process.exit(0),
      (error: Error) => {
        console.error(`the server did not stop cleanly: ${error.message}`);
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  const server = await starting;
  console.log(`PhoenixPair is listening on ${server.url}`);
  const error = await server.failed;
  console.error(error.message);
  process.exit(1);
}

main().catch((error: unknown) => {
  // What the person at the keyboard can do something about is said in one line.
  if (error instanceof StartupError) console.error(error.message);
  else console.error(error);
  process.exit(1);
});
