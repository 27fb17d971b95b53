/**
 * Every page as it looks: in light and dark, wide and as narrow as a phone. axe finds nothing
 * serious; one heading; nothing sticks out.
 */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AppServer } from "../support/app-server.js";
import { seriousViolations } from "../support/axe.js";
import { launchBrowser, Person } from "../support/browser.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

const WIDE = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true };

describeWith("Chromium", "every page", () => {
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

  test.each([
    ["light", "wide", { ...WIDE, colorScheme: "light" as const }],
    ["dark", "wide", { ...WIDE, colorScheme: "dark" as const }],
    ["light", "phone", { ...PHONE, colorScheme: "light" as const }],
    ["dark", "phone", { ...PHONE, colorScheme: "dark" as const }],
  ])(
    "%s, %s: axe finds nothing serious, there is one heading, nothing sticks out",
    async (scheme, width, options) => {
      const ann = await Person.open(browser, options);
      const { page } = ann;
      const wrong: string[] = [];
      const look = async (name: string): Promise<void> => {
        await waitFor(
          `${name} is loaded`,
          async () =>
            (await page.locator("main").getByText("Loading…").locator("visible=true").count()) === 0,
        );
        await ann.screenshot(`${name}-${scheme}-${width}`);
        for (const violation of await seriousViolations(page)) wrong.push(`${name}: ${violation}`);
        const headings = await page.getByRole("heading", { level: 1 }).count();
        if (headings !== 1) wrong.push(`${name}: ${headings} main headings`);
        const over = await overflow(page);
        if (over > 0) wrong.push(`${name}: ${over} px stick out`);
      };
      const at = async (path: string, heading: string | RegExp): Promise<void> => {
        await page.goto(server.url + path);
        await page.getByRole("heading", { name: heading }).first().waitFor();
      };

      await at("/sign-in", "Log in");
      await look("sign-in");
      await page.getByLabel("E-mail").fill("noOne@example.com");
      await page.getByLabel("Password").fill("wrong password");
      await page.keyboard.press("Enter");
      await page
        .getByText(/is not right/)
        .first()
        .waitFor();
      await look("sign-in-refused");
      await at("/sign-up", "Create your account");
      await page.keyboard.press("Enter");
      await page.getByLabel("Password").fill("short");
      await page.getByLabel("First name").press("Enter");
      await look("sign-up");

      await ann.signUp(server.url, "Ann");
      await page.locator("main li h2").first().waitFor();
      await look("challenges");
      await page.getByRole("searchbox").fill("nothing is called like this");
      await page
        .getByText(/nothing|no challenge/i)
        .last()
        .waitFor();
      await look("challenges-none");
      await at("/new", /challenge/i);
      await look("new");
      await page.getByLabel("Title").fill(`Made in ${scheme}, ${width}`);
      await page.getByLabel("Prompt").fill("Do `this`:\n\n  and(that)\n\n- one\n- two");
      await page.getByLabel("Code to start from").fill("begin(1);\n");
      await page.getByRole("button", { name: "Create and open" }).click();
      await ann.ready();
      const room = new URL(page.url()).pathname;
      for (const tab of await page.getByRole("tab").all()) {
        await tab.click();
        await look(`room-${(await tab.textContent())?.replaceAll(/\W/g, "").toLowerCase()}`);
      }
      await at(`${room}/edit`, /challenge|Edit/i);
      await page.getByLabel("Title").waitFor();
      await look("edit");
      await at("/account", /account/i);
      await look("account");
      await at("/join#nonsense", /does not open/);
      await look("join-refused");
      await at("/nowhere", /./);
      await look("not-found");
      await at("/c/999999", /no such challenge/i);
      await look("no-such-room");

      const owner = await server.signUp("Owner");
      const made = await server.request(
        "POST",
        "/api/challenges",
        { title: "Private", prompt: "?", language: "python" },
        owner.token,
      );
      const { id } = (await made.json()) as { id: number };
      await server.request("PATCH", `/api/challenges/${id}`, { access: "restricted" }, owner.token);
      await at(`/c/${id}`, /There is no such challenge/);
      await look("not-invited");
      expect(wrong).toEqual([]);
      await page.context().close();
    },
  );
});

const overflow = (page: Page): Promise<number> =>
  page.evaluate<number>(
    "Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)",
  );
