/** One browser's cookie for `/api/session`, for tests that speak HTTP themselves. */
import type { Account, AppServer } from "./app-server.js";

export class Browserlike {
  readonly server: AppServer;
  /** `name=value`, as it is sent. */
  cookie = "";
  /** The attributes of the last cookie that was set. */
  attributes: readonly string[] = [];

  constructor(server: AppServer) {
    this.server = server;
  }

  async request(
    method: string,
    path: string,
    { body, headers = {} }: { readonly body?: unknown; readonly headers?: Record<string, string> } = {},
  ): Promise<Response> {
    const response = await fetch(`${this.server.url}${path}`, {
      method,
      headers: {
        ...(this.cookie === "" ? {} : { cookie: this.cookie }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    for (const line of response.headers.getSetCookie()) {
      const [pair = "", ...attributes] = line.split(";").map((part) => part.trim());
      this.cookie = pair;
      this.attributes = attributes;
    }
    return response;
  }

  logIn(account: { readonly email: string; readonly password: string }): Promise<Response> {
    const { email, password } = account;
    return this.request("POST", "/api/sessions", { body: { email, password } });
  }

  renew(nonce = "a", headers: Record<string, string> = {}): Promise<Response> {
    return this.request("POST", "/api/session", { headers: { "x-phoenixpair": nonce, ...headers } });
  }

  async renewed(nonce = "a"): Promise<Account> {
    const response = await this.renew(nonce);
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    return (await response.json()) as Account;
  }
}
