/**
 * A room over a line of 400 ms and 400 kbit/s: what is sent, and how often something waits for what
 * came before.
 */
import type { Browser, CDPSession } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AppServer } from "../support/app-server.js";
import { launchBrowser, Person } from "../support/browser.js";
import { describeWith } from "../support/requirements.js";

const LINE = { offline: false, latency: 400, downloadThroughput: 50_000, uploadThroughput: 50_000 };

interface Sent {
  readonly url: string;
  /** How many journeys to the server and back came before its answer, its own included. */
  readonly depth: number;
  bytes: number;
}

/** Follows what a page fetches. A request waits for those that had been answered when it began. */
async function followed(session: CDPSession): Promise<Map<string, Sent>> {
  const sent = new Map<string, Sent>();
  let answered = 0;
  session.on("Network.requestWillBeSent", ({ requestId, request }) => {
    sent.set(requestId, { url: request.url, depth: answered + 1, bytes: 0 });
  });
  session.on("Network.webSocketCreated", ({ requestId, url }) => {
    sent.set(requestId, { url, depth: answered + 1, bytes: 0 });
  });
  session.on("Network.responseReceived", ({ requestId }) => {
    answered = Math.max(answered, sent.get(requestId)?.depth ?? 0);
  });
  session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    const one = sent.get(requestId);
    if (one !== undefined) one.bytes = encodedDataLength;
  });
  await session.send("Network.enable");
  await session.send("Network.setCacheDisabled", { cacheDisabled: true });
  await session.send("Network.emulateNetworkConditions", LINE);
  return sent;
}

describeWith("Chromium", "PhoenixPair on a slow line", () => {
  let browser: Browser;
  let server: AppServer;

  beforeAll(async () => {
    browser = await launchBrowser();
    server = await AppServer.start({ SHARDS: "0" });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  test("a room opens with few bytes and few round trips", async () => {
    const ann = await Person.open(browser);
    await ann.signUp(server.url, "Ann");
    const path = await ann.page.getByRole("link", { name: "Balanced brackets" }).getAttribute("href");
    const { page } = await ann.tab();
    const sent = await followed(await page.context().newCDPSession(page));
    await page.goto(`${server.url}${path}`);
    // Something to look at comes before the editor is there.
    await page.getByRole("banner").waitFor();
    await page.locator('[data-save="saved"]').waitFor({ timeout: 60_000 });
    const all = [...sent.values()].filter(({ url }) => !url.startsWith("data:"));
    const shown = JSON.stringify(all, null, 1);
    expect(
      all.reduce((sum, { bytes }) => sum + bytes, 0),
      shown,
    ).toBeLessThan(230_000);
    const scripts = all.filter(({ url }) => /\/assets\/(index|room-page|toasts|jsx)/.test(url));
    expect(scripts.length, shown).toBeGreaterThanOrEqual(4);
    // The page is the first; all that it and the room need is asked for at once.
    for (const { depth } of scripts) expect(depth, shown).toBe(2);
    expect(Math.max(...all.map(({ depth }) => depth)), shown).toBeLessThanOrEqual(5);
  });
});
