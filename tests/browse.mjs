// usage: node tests/browse.mjs DIRECTORY
//
// Opens the HTML reports in a directory in Chromium, and prints what is wrong with them: in
// light and dark, at the width of a phone and of a desktop, in print and with scripts switched
// off. The exit code is 1 if anything is. `tests/validate --install` installs axe-core,
// html-validate and playwright-core; Chromium is Debian's.
import { createRequire } from "node:module";
import { readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const root = resolve(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");
const require = createRequire(join(root, "target/validators/package.json"));
const { chromium } = require("playwright-core");
const axe = require("axe-core");
const { HtmlValidate } = require("html-validate");

const dir = resolve(process.argv[2]);
const problems = [];

// What a page may consist of: nothing else can be made from evidence.
const TAGS = new Set(("html head meta title style body a header main footer section article nav p h1 h2 h3 h4 h5 ul ol li " +
  "dl div dt dd span b br table caption thead tbody tr th td details summary figure figcaption svg rect text path pre " +
  "code script button label input output").split(" "));
const ATTRIBUTES = new Set(("lang charset http-equiv content name class href id aria-labelledby aria-label aria-hidden " +
  "aria-sort role rel start scope tabindex open x y width height rx d viewBox type autocomplete").split(" "));
const LINK = /^(#[a-z0-9-]+|https:\/\/docs\.aws\.amazon\.com\/[A-Za-z0-9/._#-]+)$/;

// axe on thousands of rows takes minutes.
const LARGE = 1 << 20;

const validator = new HtmlValidate({
  extends: ["html-validate:recommended"],
  // Of style, not of validity.
  rules: { "long-title": "off", "no-trailing-whitespace": "off", "no-raw-characters": "off", "void-style": "off" },
});

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

// Opens a page, and collects what it does that no report may do.
const open = async (url, name, options) => {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const say = (what) => problems.push(`${name}: ${what}`);
  page.on("console", (message) => say(`console: ${message.text()}`));
  page.on("pageerror", (error) => say(`error: ${error.message}`));
  page.on("dialog", (dialog) => { say(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => { if (request.url() !== url) say(`request: ${request.url()}`); });
  await page.goto(url);
  return { context, page, say };
};

// Elements that reach beyond the window, other than those that are scrolled in their region.
const overflow = (page) => page.evaluate(() => {
  const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
  const beyond = Array.from(document.body.querySelectorAll("*")).filter((element) =>
    element.getBoundingClientRect().right > innerWidth + 1 && !element.parentElement.closest(".scroll, .hidden"));
  const names = beyond.slice(0, 3).map((element) => `${element.tagName}.${element.getAttribute("class")}`);
  return wide || names.length ? [`wider than the window: ${names.join(", ")}`] : [];
});

// The lines of text that are wider or higher than the box of the drawing in which they are.
const drawings = (page) => page.evaluate(() => {
  const found = [];
  for (const svg of document.querySelectorAll("svg")) {
    const outer = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll("text")) {
      const inner = text.getBoundingClientRect();
      if (inner.right > outer.right || inner.bottom > outer.bottom) found.push(`beyond its drawing: ${text.textContent}`);
    }
    if (!svg.getAttribute("aria-label")) found.push("a drawing without a text");
  }
  return found.slice(0, 3);
});

// What is in a screenshot: the number of its colours, and the brightness of the commonest.
const pixels = async (page, viewer) => {
  const png = (await page.screenshot()).toString("base64");
  return viewer.evaluate(async (png) => {
    const image = new Image();
    image.src = `data:image/png;base64,${png}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.width;
    canvas.height = image.height;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const counts = new Map();
    const data = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
    for (const pixel of data) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
    const [[common]] = [...counts].sort((a, b) => b[1] - a[1]);
    return { colours: counts.size, brightness: ((common & 255) + ((common >> 8) & 255) + ((common >> 16) & 255)) / 3 };
  }, png);
};

const census = (page) => page.evaluate(() => Array.from(document.querySelectorAll("*")).map((element) =>
  [element.localName, element.getAttributeNames(), element.getAttribute("href")]));

const viewer = await (await browser.newContext()).newPage();
const check = async (file) => {
  const url = pathToFileURL(join(dir, file)).href;
  const isLarge = statSync(join(dir, file)).size > LARGE;
  if (!isLarge) {
    const { results } = await validator.validateFile(join(dir, file));
    for (const { messages } of results) {
      for (const { ruleId, message, line } of messages) problems.push(`${file}:${line}: ${ruleId}: ${message}`);
    }
  }

  for (const width of [360, 1280]) {
    const name = `${file} at ${width} px`;
    const { context, page, say } = await open(url, name, { viewport: { width, height: 900 } });
    (await overflow(page)).forEach(say);
    (await drawings(page)).forEach(say);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      const { colours, brightness } = await pixels(page, viewer);
      if (colours < 20) say(`blank: ${colours} colours`);
      if ((brightness > 128) !== (colorScheme === "light")) say(`${colorScheme}: brightness ${brightness}`);
    }
    if (!isLarge) {
      // What is folded is checked too.
      await page.evaluate(() => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
      (await overflow(page)).forEach(say);
      await page.evaluate(axe.source);
      for (const [colorScheme, rules] of [["dark", ["color-contrast"]], ["light", null]]) {
        await page.emulateMedia({ colorScheme });
        const { violations } = await page.evaluate((rules) => axe.run(rules ? { runOnly: rules } : {}), rules);
        for (const { id, help, nodes } of violations) {
          say(`${colorScheme}: axe ${id}: ${help}: ${nodes[0].html.slice(0, 200)}`);
        }
      }
    }
    await context.close();
  }

  // The script.
  {
    const { context, page, say } = await open(url, `${file} with scripts`, {
      viewport: { width: 1280, height: 900 }, permissions: ["clipboard-read", "clipboard-write"],
    });
    for (const [tag, attributes, href] of await census(page)) {
      if (!TAGS.has(tag)) say(`element ${tag}`);
      for (const attribute of attributes) if (!ATTRIBUTES.has(attribute)) say(`attribute ${attribute} of ${tag}`);
      if (href !== null && !LINK.test(href)) say(`link to ${href}`);
    }
    const dead = await page.evaluate(() => Array.from(document.querySelectorAll("a[href^='#']"))
      .map((link) => link.getAttribute("href")).filter((href) => !document.getElementById(href.slice(1))));
    if (dead.length) say(`links to nothing: ${dead}`);
    await page.evaluate(() => document.querySelectorAll("details.table").forEach((details) => { details.open = true; }));
    const tables = page.locator("table.sortable");
    for (let at = 0; at < await tables.count(); at += 1) {
      const table = tables.nth(at);
      const cells = (column) => table.evaluate((table, column) => Array.from(table.tBodies[0].rows)
        .filter((row) => !row.hidden).map((row) => row.cells[column].textContent), column);
      const before = await cells(0);
      if (before.length < 2) continue;
      const heads = await table.locator("thead th").count();
      for (let column = 0; column < heads; column += 1) {
        const button = table.locator("thead th").nth(column).locator("button");
        const sorted = [...await cells(column)].sort(new Intl.Collator("en", { numeric: true }).compare);
        await button.focus();
        await page.keyboard.press("Enter");
        if ((await cells(column)).join("\n") !== sorted.join("\n")) say(`table ${at}, column ${column}: not sorted`);
        await button.click();
        const first = (await cells(column))[0];
        if (first !== sorted[sorted.length - 1]) say(`table ${at}, column ${column}: not sorted downwards: ${first}`);
        const sort = await table.locator("thead th").nth(column).getAttribute("aria-sort");
        if (sort !== "descending") say(`table ${at}, column ${column}: aria-sort is ${sort}`);
        if (isLarge && column === 1) break;
      }
      if (before.length < 5) continue;
      const bar = table.locator("xpath=../preceding-sibling::*[1]");
      const word = before[Math.floor(before.length / 2)].trim();
      await bar.locator("input").fill(word.toUpperCase());
      const texts = await table.evaluate((table) => Array.from(table.tBodies[0].rows)
        .filter((row) => row.checkVisibility()).map((row) => row.textContent));
      const words = word.toLowerCase().split(/\s+/);
      if (!texts.length || !texts.every((text) => words.every((word) => text.toLowerCase().includes(word)))) {
        say(`table ${at}: filtered by ${word}: ${texts.length} rows`);
      }
      await bar.locator("input").fill("no row has this");
      const none = await bar.locator("output").textContent();
      if (none !== `0 of ${before.length} rows`) say(`table ${at}: filtered by what no row has: ${none}`);
      await bar.locator("input").fill("");
      if ((await cells(0)).length !== before.length) say(`table ${at}: rows are missing after filtering`);
    }
    const command = page.locator(".cmd").first();
    if (await command.count()) {
      await command.locator("button").click();
      await command.getByText("Copied").waitFor();
      const copied = await page.evaluate(() => navigator.clipboard.readText());
      if (copied !== await command.locator("code").textContent()) say(`copied: ${copied}`);
    }
    await context.close();
  }

  // Without scripts, and on paper.
  {
    const { context, page, say } = await open(url, `${file} without scripts`, {
      viewport: { width: 794, height: 1123 }, javaScriptEnabled: false,
    });
    if (await page.locator("button, input").count()) say("controls that do nothing");
    for (const text of ["h1", ".verdict", ".reason"]) {
      if (!await page.locator(text).first().isVisible()) say(`${text} is not visible`);
    }
    const details = page.locator("details:not(.table)").first();
    if (await details.count()) {
      await details.locator("summary").click();
      if (!await details.locator("summary + *").isVisible()) say("what is folded cannot be opened");
      await details.locator("summary").click();
    }
    await page.emulateMedia({ media: "print", colorScheme: "dark" });
    (await overflow(page)).forEach(say);
    const hidden = await page.evaluate(() => Array.from(document.querySelectorAll("details > :not(summary)"))
      .filter((element) => !element.getBoundingClientRect().height).length);
    if (hidden) say(`${hidden} folded parts are not printed`);
    const { colours, brightness } = await pixels(page, viewer);
    if (colours < 20 || brightness < 250) say(`print: ${colours} colours, brightness ${brightness}`);
    const pdf = await page.pdf({ format: "A4" });
    if (pdf.length < 10_000) say(`a PDF of ${pdf.length} bytes`);
    await context.close();
  }
};

for (const file of readdirSync(dir).filter((file) => file.endsWith(".html")).sort()) {
  try {
    await check(file);
  } catch (error) {
    problems.push(`${file}: ${error.message.split("\n")[0]}`);
  }
}
await browser.close();
console.log([...new Set(problems)].join("\n"));
process.exit(problems.length ? 1 : 0);
