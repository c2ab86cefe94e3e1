// The status page in headless Chromium: its numbers are those of the load, axe finds no fault in light and in
// dark, and it says so when the stream is lost.
//
//     node tests/clients/status.js BINARY MODULES [FOLDER]
//
// BINARY is the example status-server, MODULES a folder with playwright-core and axe-core. With FOLDER, two
// minutes of load are sent, and screenshots are put there.

"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const http = require("node:http");
const net = require("node:net");
const path = require("node:path");
const { spawn } = require("node:child_process");

const [binary, modules, folder] = process.argv.slice(2);
const { chromium } = require(path.resolve(modules, "playwright-core"));
const axe = fs.readFileSync(path.resolve(modules, "axe-core/axe.min.js"), "utf8");

const PATIENCE = 30_000;
const SIZES = [[375, 812], [768, 1024], [1440, 900]];
const agent = new http.Agent({ keepAlive: true, maxSockets: 40 });

function start(address) {
  const child = spawn(binary, [address], { stdio: ["ignore", "pipe", "inherit"] });
  return new Promise((resolve) => child.stdout.once("data", (line) => resolve({ child, url: String(line).trim() })));
}

function stop(server) {
  const ended = new Promise((resolve) => server.child.once("exit", resolve));
  server.child.kill("SIGTERM");
  return ended;
}

function get(url) {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent }, (answer) => {
      answer.resume().on("end", () => resolve(answer.statusCode));
    });
    request.on("error", reject);
  });
}

// A request without a host, which the server refuses.
function refused(url) {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const socket = net.connect(port, hostname, () => socket.write("GET / HTTP/1.1\r\n\r\n"));
    socket.on("error", reject).on("close", resolve).on("data", (bytes) => {
      assert.match(String(bytes), /^HTTP\/1.1 400 /);
      socket.end();
    });
  });
}

async function many(count, send) {
  let left = count;
  const one = async () => {
    while (left-- > 0) await send(left);
  };
  await Promise.all(Array.from({ length: 16 }, one));
}

// The cells of the rows of a table, by the first.
function table(page, id) {
  return page.$$eval(`#${id} tbody tr`, (rows) =>
    Object.fromEntries(rows.map((row) => [...row.cells].map((cell) => cell.textContent)).map(([first, ...rest]) => [first, rest])));
}

const number = (text) => Number(text.replaceAll(",", ""));

async function open(browser, url, options = {}) {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error.message));
  page.on("console", (message) => {
    // A stream that is lost is no fault of the page.
    if (message.type() === "error" && !/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED/.test(message.text())) page.faults.push(message.text());
  });
  await page.goto(url);
  await page.waitForFunction(() => document.querySelector("#state").textContent.includes("Running"), null, { timeout: PATIENCE });
  // The second event has the first point.
  await page.waitForFunction(() => document.querySelector("#tile-0").textContent !== "–", null, { timeout: PATIENCE });
  return page;
}

async function looks(browser, url, name) {
  for (const colorScheme of ["light", "dark"]) {
    for (const [width, height] of SIZES) {
      const page = await open(browser, url, { colorScheme, viewport: { width, height } });
      const [content, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(content <= room, `${width}: the page is ${content} wide`);
      if (folder) await page.screenshot({ path: path.join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: true });
      // The policy of the page does not keep what the browser itself runs from running.
      const { violations } = await page.evaluate(`${axe}; axe.run(document)`);
      assert.deepEqual(violations.map((each) => [each.id, each.nodes.map((node) => node.html)]), [], `${name} ${width} ${colorScheme}`);
      assert.deepEqual(page.faults, []);
      await page.context().close();
    }
  }
}

async function numbers(browser, url) {
  const page = await open(browser, `${url}/status`);
  const sent = { users: 2000, fails: 150, missing: 120, refused: 40, odd: 7 };
  await many(sent.users, async (left) => assert.equal(await get(`${url}/users/${left}`), 200));
  await many(sent.fails, async () => assert.equal(await get(`${url}/fails`), 500));
  await many(sent.missing, async () => assert.equal(await get(`${url}/missing`), 404));
  await many(sent.odd, async () => assert.equal(await get(`${url}/&lt;b&gt;`), 200));
  await many(sent.refused, () => refused(url));
  const rows = { "/users/{id}": [sent.users, 0], "/fails": [sent.fails, sent.fails], "/&lt;b&gt;": [sent.odd, 0], "(no route)": [sent.missing + sent.refused, sent.refused] };
  const wanted = [...Object.entries(rows), ["statuses", sent.fails, sent.missing + sent.refused, sent.refused]];
  const shown = async () => {
    const [routes, statuses, refusals] = [await table(page, "routes"), await table(page, "statuses"), await table(page, "refusals")];
    const found = Object.keys(rows).map((name) => [name, routes[name] ? [number(routes[name][0]), number(routes[name][2])] : []]);
    const last = (cells) => number((cells || ["0"]).at(-1));
    return [...found, ["statuses", last(statuses["5xx server error"]), last(statuses["4xx client error"]), last(refusals["missing host"])]];
  };
  const until = Date.now() + PATIENCE;
  while (JSON.stringify(await shown()) !== JSON.stringify(wanted) && Date.now() < until) await page.waitForTimeout(200);
  assert.deepEqual(await shown(), wanted);
  // All was sent within the two minutes of the chart, while the page was open.
  const drawn = await page.evaluate(() => points.reduce((sum, [time, rate], at) => sum + (at ? rate * (time - points[at - 1][0]) : rate), 0));
  const all = sent.users + sent.fails + sent.missing + sent.odd + sent.refused;
  assert.ok(Math.abs(drawn - all) < all / 10, `${drawn} requests in the chart, ${all} sent`);
  // The chart with a keyboard.
  await page.focus("#rate .plot");
  await page.keyboard.press("ArrowLeft");
  assert.match(await page.getAttribute("#rate .plot", "aria-valuetext"), /^1 s ago: Requests [\d.,]+, Errors [\d.,]+$/);
  assert.deepEqual(page.faults, []);
  await page.context().close();
  return all;
}

async function restarts(browser, server) {
  const page = await open(browser, `${server.url}/status`);
  await stop(server);
  await page.waitForFunction(() => document.querySelector("#state").textContent.includes("Not connected"), null, { timeout: PATIENCE });
  assert.match(await page.textContent("#news"), /Trying again every 2 seconds/);
  const next = await start(new URL(server.url).host);
  await page.waitForFunction(() => document.querySelector("#state").textContent.includes("Running"), null, { timeout: PATIENCE });
  assert.equal(await page.textContent("#news"), "");
  await page.click("#pause");
  assert.match(await page.textContent("#news"), /^Paused/);
  await page.click("#pause");
  await page.waitForFunction(() => document.querySelector("#news").textContent === "", null, { timeout: PATIENCE });
  assert.deepEqual(page.faults, []);
  await page.context().close();
  return next;
}

// Load that rises and falls.
async function load(url, seconds) {
  const until = Date.now() + seconds * 1000;
  for (let turn = 0; Date.now() < until; turn++) {
    const count = Math.round(60 + 35 * Math.sin(turn / 60) + 20 * Math.random());
    await Promise.all([
      new Promise((resolve) => setTimeout(resolve, 200)),
      many(count, () => get(`${url}/users/${Math.floor(Math.random() * 1000)}`)),
      ...(turn % 20 < 3 ? [get(`${url}/fails`), get(`${url}/missing`), refused(url)] : []),
    ]);
  }
}

async function main() {
  let server = await start("127.0.0.1:0");
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-proxy-server", "--disable-dev-shm-usage"],
  });
  try {
    await looks(browser, `${server.url}/status`, "idle");
    console.log("idle: no fault at three sizes, in light and dark");
    server = await restarts(browser, server);
    console.log("the page comes back after a restart");
    console.log(`${await numbers(browser, server.url)} requests: the numbers are those of the load`);
    const asked = await open(browser, `${server.url}/private`, { httpCredentials: { username: "ada", password: "sesame" } });
    await asked.context().close();
    console.log("the password opens the page and its stream");
    // One page stays open, so that the charts go on.
    const first = await open(browser, `${server.url}/status`);
    const loaded = load(server.url, folder ? 165 : 25);
    await first.waitForTimeout(folder ? 120_000 : 3_000);
    const stuck = Array.from({ length: 12 }, () => get(`${server.url}/report/${folder ? 45 : 20}`));
    await looks(browser, `${server.url}/status`, "load");
    console.log("under load: no fault at three sizes, in light and dark");
    assert.deepEqual(first.faults, []);
    await Promise.all(stuck);
    await loaded;
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
