/** Clients of engines are optional: loaded only where an engine is configured. */
import { ClusterError } from "./engine.js";

/** The module, or an error that says what to install. */
export async function optional<T>(engine: string, name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new ClusterError(`to join nodes by ${engine}, install its client: npm install ${name}`, {
      cause: error,
    });
  }
}
