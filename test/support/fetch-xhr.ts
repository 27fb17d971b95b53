/** As much of XMLHttpRequest as Phoenix's older long-poll clients use, over fetch. */
export class FetchXhr {
  readyState = 0;
  status = 0;
  responseText = "";
  timeout = 0;
  onreadystatechange: () => void = () => {};
  onload: () => void = () => {};
  onerror: () => void = () => {};
  ontimeout: () => void = () => {};
  onprogress: () => void = () => {};
  readonly #headers: Record<string, string> = {};
  readonly #abort = new AbortController();
  #method = "GET";
  #url = "";

  open(method: string, url: string): void {
    this.#method = method;
    this.#url = url;
  }

  setRequestHeader(name: string, value: string): void {
    this.#headers[name] = value;
  }

  abort(): void {
    this.#abort.abort();
  }

  send(body?: string | null): void {
    const init: RequestInit = { method: this.#method, headers: this.#headers, signal: this.#abort.signal };
    if (body !== null && body !== undefined && this.#method !== "GET") init.body = body;
    fetch(this.#url, init).then(
      async (response) => {
        this.status = response.status;
        this.responseText = await response.text();
        this.readyState = 4;
        this.onreadystatechange();
        this.onload();
      },
      () => {
        this.readyState = 4;
        this.onreadystatechange();
        this.onerror();
      },
    );
  }
}
