/** Runs a program in a page of another origin, and prints what it called. */
import { browser, open } from "./chromium.mjs";
import { given } from "./input.mjs";

const { page, complaints } = await open(given.site);
const called = await page.evaluate(async ({ program, variables, functions, until }) => {
  const called = [];
  await new Promise((done) => {
    const noting = (name) => () => {
      called.push(name);
      if (name === until) done();
    };
    const names = [...Object.keys(variables), ...functions];
    new Function(...names, program)(...Object.values(variables), ...functions.map(noting));
  });
  return called;
}, given);
await browser.close();
console.log(JSON.stringify({ called, complaints }));
