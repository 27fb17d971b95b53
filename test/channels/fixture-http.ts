/** Modules that make the HTTP server of a gateway, or fail to. */
import { createServer, type Server } from "node:http";
import type { ServerContext } from "simurgh/channels";
import { self } from "simurgh/runtime";

export function server({ title }: { readonly title: string }, { endpoint, node }: ServerContext): Server {
  return createServer(async (request, response) => {
    const pid = await node.run(() => self());
    response.end(
      `${title} of ${endpoint}: ${request.url}, by ${pid.node === node.index ? "process" : "nobody"}`,
    );
  });
}

/** The node index of whichever gateway is asked. */
export const which = (_args: unknown, { node }: ServerContext): Server =>
  createServer((_request, response) => response.end(String(node.index)));

export const handler = (): unknown => () => {};

export async function listening(): Promise<Server> {
  const http = createServer().unref();
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  return http;
}
