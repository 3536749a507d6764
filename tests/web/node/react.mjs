/** Searches with the built React example; prints what it shows. */
import { browser, open } from "./chromium.mjs";
import { given } from "./input.mjs";

const { page, complaints } = await open(given.app);
await page.setInputFiles("input[type=file]", { name: "photo.jpg", mimeType: "image/jpeg", buffer: Buffer.from(given.file, "base64") });
await page.click("button:not([type])");
await page.locator("[role=status]", { hasText: "completed" }).waitFor();
const found = { titles: await page.locator("li").allInnerTexts(), text: await page.locator("p").last().innerText(), complaints };
await browser.close();
console.log(JSON.stringify(found));
