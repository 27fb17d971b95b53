/** Real browsers: the system's Chromium, driven by playwright-core. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { programs } from "./programs.js";
import { waitFor } from "./wait.js";

/** Pictures for people to look at; never inside the repository. */
const SCREENSHOTS = process.env.SIMURGH_SCREENSHOTS ?? join(tmpdir(), "simurgh-screenshots");

export async function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: programs.chromium as string,
    args: [
      "--no-sandbox",
      "--disable-dev-shm-usage",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-sync",
      "--no-first-run",
    ],
  });
}

/** One person at one screen. Everything the page complains of is kept. */
export class Person {
  readonly page: Page;
  readonly complaints: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    page.on("console", (message) => {
      if (message.type() === "error") this.complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.complaints.push(String(error)));
  }

  static async open(browser: Browser, options: BrowserContextOptions = {}): Promise<Person> {
    const context = await browser.newContext(options);
    return new Person(await context.newPage());
  }

  /** Another tab of the same person: same session. */
  async tab(): Promise<Person> {
    return new Person(await this.page.context().newPage());
  }

  async signUp(url: string, name: string): Promise<{ email: string; password: string }> {
    const email = `${name.toLowerCase().replaceAll(/[^a-z]/g, "")}-${Date.now()}-${Math.floor(Math.random() * 1e6)}@example.com`;
    const password = "correct horse";
    await this.page.goto(url);
    await this.page.getByRole("link", { name: "Sign up" }).click();
    await this.page.getByLabel("First name").fill(name);
    await this.page.getByLabel("E-mail").fill(email);
    await this.page.getByLabel("Password").fill(password);
    await this.page.keyboard.press("Enter");
    await this.page.getByRole("heading", { name: "Challenges" }).waitFor();
    return { email, password };
  }

  async openRoom(title: string): Promise<void> {
    await this.page.getByRole("link", { name: title }).click();
    await this.ready();
  }

  /** The room has been joined and shows its text. */
  async ready(): Promise<void> {
    await this.page.locator('[data-save="saved"]').waitFor();
    await this.page.locator(".cm-content").waitFor();
  }

  get code() {
    return this.page.locator(".cm-content");
  }

  /** The editor's text, as far as it is in view. */
  async text(): Promise<string> {
    return (await this.page.locator(".cm-line").allTextContents()).join("\n");
  }

  /** The whole text, also what is not in view, by way of the clipboard. */
  async copied(): Promise<string> {
    await this.page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await this.page.getByRole("button", { name: "Copy code" }).click();
    return this.page.evaluate<string>("navigator.clipboard.readText()");
  }

  /** Replaces the whole text, as a person would. */
  async write(text: string): Promise<void> {
    await this.code.click();
    await this.page.keyboard.press("ControlOrMeta+a");
    await this.page.keyboard.press("Delete");
    await this.page.keyboard.insertText(text);
  }

  /** First names of the people shown, sorted; "(typing)" after those who type. */
  async people(): Promise<string[]> {
    const shown = await this.page.locator(".people li").evaluateAll((items) =>
      items.map((item) => {
        const name = item.querySelector("bdi")?.textContent ?? "?";
        return item.querySelector(".typing-mark") === null ? name : `${name} (typing)`;
      }),
    );
    return shown.sort();
  }

  /** Waits until these first names are shown, sorted, "(typing)" after those who type. */
  async sees(...names: string[]): Promise<void> {
    await waitFor(`${names.join(", ")} are shown`, async () => {
      const people = await this.people();
      if (people.join() === names.join()) return true;
      throw new Error(people.join());
    });
  }

  /** Waits until the editor shows exactly this text. */
  async reads(text: string): Promise<void> {
    await waitFor(`the text ${JSON.stringify(text.slice(0, 60))}`, async () => {
      const shown = await this.text();
      if (shown === text) return true;
      throw new Error(shown);
    });
  }

  /** All that was typed here is stored. */
  async saved(): Promise<void> {
    await this.page.locator('[data-save="saved"]').waitFor();
  }

  get banner() {
    return this.page.getByText(/Reconnecting/).first();
  }

  async screenshot(name: string): Promise<void> {
    await this.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
  }
}
