// The example live.py in headless Chromium: two pages see each other's messages, and after a restart of the server
// a page connects again and goes on.
//
//     node tests/clients/live.js MODULES
//
// MODULES is a folder with playwright-core. The environment says where Python finds the package: PYTHONPATH,
// TRANSOM_LIBRARY.

"use strict";

const assert = require("node:assert/strict");
const path = require("node:path");
const { spawn } = require("node:child_process");

const { chromium } = require(path.resolve(process.argv[2], "playwright-core"));

const PATIENCE = 30_000;
const EXAMPLE = path.resolve(__dirname, "../../bindings/python/examples/live.py");
const PROGRAM = `import runpy, sys; runpy.run_path(sys.argv[1])["build"]().run(sys.argv[2])`;

function start(address) {
  const child = spawn("python3", ["-c", PROGRAM, EXAMPLE, address], { stdio: ["ignore", "pipe", "inherit"] });
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    child.stdout.once("data", (line) => resolve({ child, url: String(line).trim().split(" ").at(-1) }));
  });
}

function stop(server) {
  server.child.removeAllListeners("exit");
  const ended = new Promise((resolve) => server.child.once("exit", (code) => resolve(code)));
  server.child.kill("SIGTERM");
  return ended;
}

async function open(browser, url) {
  const page = await browser.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error.message));
  await page.goto(url);
  await shows(page, "#state", "Connected");
  return page;
}

function shows(page, selector, text) {
  const check = ([where, wanted]) => document.querySelector(where)?.textContent === wanted;
  return page.waitForFunction(check, [selector, text], { timeout: PATIENCE });
}

async function send(page, text) {
  await page.fill("#text", text);
  await page.click("button");
}

async function main() {
  let server = await start("127.0.0.1:0");
  const { host } = new URL(server.url);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-proxy-server", "--disable-dev-shm-usage"],
  });
  try {
    const [first, second] = [await open(browser, server.url), await open(browser, server.url)];
    await shows(first, "#viewers", "2");
    await send(first, "<b>one</b>");
    for (const page of [first, second]) await shows(page, "#messages li:last-child", "<b>one</b>");
    await second.close();
    await shows(first, "#viewers", "1");
    console.log("two pages see the same messages, and who is there");

    // The streams end by themselves, so the server need not cut them off.
    assert.equal(await stop(server), 0);
    await shows(first, "#state", "Connecting");
    server = await start(host);
    await shows(first, "#state", "Connected");
    await send(first, "two");
    await shows(first, "#messages li:last-child", "two");
    assert.deepEqual(await first.$$eval("#messages li", (items) => items.map((item) => item.textContent)), ["<b>one</b>", "two"]);
    assert.deepEqual(first.faults, []);
    console.log("the page goes on after a restart of the server");
  } finally {
    await browser.close();
    await stop(server);
  }
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
