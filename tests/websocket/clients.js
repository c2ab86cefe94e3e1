// Clients in JavaScript: the package `ws`, and two pages in Chromium that chat.
//
//     node tests/websocket/clients.js ws://127.0.0.1:8080 FOLDER_OF_MODULES

const assert = require("node:assert");
const { createRequire } = require("node:module");
const path = require("node:path");

const [url, modules] = process.argv.slice(2);
const load = createRequire(path.join(path.resolve(modules), "package.json"));

const next = (socket) =>
    new Promise((resolve, reject) => {
        socket.once("message", (data, isBinary) => resolve(isBinary ? data : data.toString()));
        socket.once("error", reject);
    });

async function node(WebSocket) {
    for (const perMessageDeflate of [true, false]) {
        const socket = new WebSocket(`${url}/echo`, { perMessageDeflate, rejectUnauthorized: false });
        await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
        assert.strictEqual(socket.extensions !== "", perMessageDeflate);
        for (const message of ["hello", "", "ä".repeat(100000), Buffer.alloc(1 << 20, "x")]) {
            socket.send(message);
            assert.deepStrictEqual(await next(socket), message);
        }
        socket.close(4000, "enough");
        const [code, reason] = await new Promise((resolve) => socket.once("close", (...all) => resolve(all)));
        assert.deepStrictEqual([code, reason.toString()], [4000, ""]);
    }
    console.log("node: the package ws");
}

async function pages(chromium) {
    const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--ignore-certificate-errors"] });
    const [first, second] = [await browser.newPage(), await browser.newPage()];
    const address = url.replace(/^ws/, "http");
    for (const page of [first, second]) {
        await page.goto(`${address}/`);
        await page.waitForFunction(() => window.socket.readyState === WebSocket.OPEN);
        assert.match(await page.evaluate(() => window.socket.extensions), /permessage-deflate/);
    }
    // Who joins late misses what was said before: a line for each page says that it is a member.
    await first.evaluate(() => window.say("first"));
    await first.waitForSelector("li:nth-child(1)");
    await second.evaluate(() => window.say("second, " + "ä".repeat(1000)));
    await first.waitForSelector("li:nth-child(2)");
    const lines = await first.locator("li").allTextContents();
    assert.deepStrictEqual(lines, ["first", "second, " + "ä".repeat(1000)]);
    // A page of another origin is refused.
    const refused = await second.evaluate(
        (other) =>
            new Promise((resolve) => {
                const socket = new WebSocket(other);
                socket.onopen = () => resolve("opened");
                socket.onerror = () => resolve("refused");
            }),
        `${url.includes("127.0.0.1") ? url.replace("127.0.0.1", "localhost") : url.replace("localhost", "127.0.0.1")}/chat`,
    );
    assert.strictEqual(refused, "refused");
    await browser.close();
    console.log("chromium: two pages chat");
}

async function main() {
    await node(load("ws"));
    await pages(load("playwright-core").chromium);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
