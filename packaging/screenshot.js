// Takes the README's pictures of the live page: `node packaging/screenshot.js URL FOLDER`, with playwright-core in NODE_PATH
// (`make test-page` leaves it in build/page/node_modules) and Debian's Chromium, half a minute after `ananas demo --http`.

const { chromium } = require("playwright-core");
const [url, folder] = process.argv.slice(2);

async function main() {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  for (const [name, width, height, colorScheme] of [["page-light", 1180, 800, "light"], ["page-dark", 1180, 800, "dark"], ["page-phone", 390, 800, "dark"]]) {
    const page = await browser.newPage({ viewport: { width, height }, colorScheme });
    await page.goto(url);
    await page.waitForSelector("#events li");
    await page.waitForTimeout(4000);
    await page.screenshot({ path: `${folder}/${name}.png` });
    await page.close();
  }
  await browser.close();
}
main();
