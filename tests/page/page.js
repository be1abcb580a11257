// Drives the live page in a real browser: `node page.js CHROMIUM URL RULES_FILE`. One line per property: "ok NAME" or
// "not ok NAME: WHY". The engine is somebody else's; this only looks, clicks, and rewrites the rules file.

const fs = require("fs");
const { chromium } = require("playwright-core");

const [executablePath, url, rules] = process.argv.slice(2);
let failed = 0;

async function property(name, body) {
  try {
    await body();
    console.log("ok " + name);
  } catch (e) {
    failed++;
    console.log("not ok " + name + ": " + String(e.message || e).split("\n")[0]);
  }
}
function holds(condition, why) {
  if (!condition) throw new Error(why);
}

async function main() {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const page = await browser.newPage();
  const complaints = [], asked = [];
  page.on("pageerror", e => complaints.push(String(e)));
  page.on("console", m => m.type() === "error" && complaints.push(m.text()));
  page.on("request", r => asked.push(r.url()));
  await page.goto(url);

  await property("shows anomalies within a second of their commit", async () => {
    await page.waitForSelector("#events li", { timeout: 5000 });
    const late = await page.evaluate(() => new Promise(done => {
      const source = new EventSource("events"), begin = Date.now();
      source.onmessage = m => {
        const event = JSON.parse(m.data);
        if (event.at < begin) return;
        source.close();
        done(Date.now() - event.at);
      };
    }));
    holds(late < 1000, "took " + late + " ms");
  });
  await property("shows every rule with its version and a chart", async () => {
    await page.waitForSelector('[data-rule="topping_trend"] svg');
    const versions = await page.locator("article .verdict").allTextContents();
    holds(versions.length === 5 && versions.every(v => /version [0-9a-f]{10}/.test(v)), versions.join());
  });
  await property("shows partitions, and which one holds the watermark back", async () => {
    holds(await page.locator("#parts tr").count() === 3, "three partitions");
    holds((await page.locator("#parts").textContent()).includes("holds pizzas back"), "nobody holds it back");
  });
  await property("keeps what records say as text", async () => {
    holds(await page.locator("#events script, #events img, #keys img").count() === 0, "markup from a record");
  });
  await property("fits a phone without scrolling sideways, in dark as well", async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    const light = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    holds(await page.evaluate(() => document.documentElement.scrollWidth <= 360), "wider than the phone");
    await page.emulateMedia({ colorScheme: "dark" });
    holds(await page.evaluate(() => getComputedStyle(document.body).backgroundColor) !== light, "dark is as light");
    await page.setViewportSize({ width: 1200, height: 900 });
  });
  await property("goes by keyboard", async () => {
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press("Tab");
    holds(await page.evaluate(() => document.activeElement.id) === "reload", "the first stop is the button");
  });
  await property("shows a reload and its verdict", async () => {
    const text = fs.readFileSync(rules, "utf8");
    fs.writeFileSync(rules, text.replace("nr_bad_items > 3", "nr_bad_items > 2"));
    await page.keyboard.press("Enter");
    await page.locator('[data-rule="too_many_bad_toppings"] .verdict', { hasText: "kept" }).waitFor({ timeout: 10000 });
  });
  await property("shows a rule that was quarantined", async () => {
    const text = fs.readFileSync(rules, "utf8");
    fs.writeFileSync(rules, text + '\nrule "runaway" { from = "bad_toppings", where = function(r) while r.topping do end end, to = "pizza_stream_out_filter" }\n');
    await page.waitForSelector('[data-rule="runaway"] .quarantined', { timeout: 15000 });
  });
  await property("asks nobody else, and nothing complains", async () => {
    holds(asked.every(u => u.startsWith(url) || u.startsWith("data:")), asked.find(u => !u.startsWith(url)));
    holds(complaints.filter(c => !c.includes("favicon")).length === 0, complaints.join("; "));
  });
  console.log("wait");
  await new Promise(done => process.stdin.once("data", done));
  await property("survives the engine's restart", async () => {
    await page.locator("#phase", { hasText: /^active$/ }).waitFor({ timeout: 20000 });
    await page.evaluate(() => document.getElementById("events").replaceChildren());
    await page.waitForSelector("#events li", { timeout: 15000 });
  });
  await browser.close();
  process.exit(failed ? 1 : 0);
}
main().catch(e => {
  console.log("not ok the browser starts: " + e.message.split("\n")[0]);
  process.exit(1);
});
