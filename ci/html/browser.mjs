// A headless Chromium, spoken to in the DevTools protocol over a pair of pipes. That needs neither a port nor a library.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// How long one answer may take. A page of ten thousand outcomes is slow to check on a small machine.
const PATIENCE = 180_000;

/** The browser: `call` asks it something, `open` opens a page, `close` ends it. */
export class Browser {
  #child;
  #profile;
  #next = 1;
  #waiting = new Map();
  #listeners = new Map();

  constructor(program) {
    this.#profile = mkdtempSync(join(tmpdir(), 'meshproof-html-'));
    const options = [
      '--headless=new', '--remote-debugging-pipe', '--no-first-run', '--disable-gpu', '--hide-scrollbars', '--disable-extensions',
      '--disable-background-networking', '--disable-component-update', '--font-render-hinting=none', `--user-data-dir=${this.#profile}`,
    ];
    // Chromium's own sandbox does not work for root, as whom containers run.
    if (process.getuid() === 0) options.push('--no-sandbox');
    this.#child = spawn(program, options, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    this.#child.on('exit', (code) => this.#fail(new Error(`Chromium ended with ${code}`)));
    let rest = Buffer.alloc(0);
    const parts = [];
    this.#child.stdio[4].on('data', (data) => {
      let from = 0;
      for (let end = data.indexOf(0, from); end >= 0; end = data.indexOf(0, from)) {
        rest = Buffer.concat([...parts, data.subarray(from, end)]);
        parts.length = 0;
        from = end + 1;
        this.#receive(JSON.parse(rest.toString()));
      }
      if (from < data.length) parts.push(data.subarray(from));
    });
  }

  #fail(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  #receive(message) {
    if (message.id) {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error) waiting?.reject(new Error(`${waiting.method}: ${message.error.message}`));
      else waiting?.resolve(message.result);
      return;
    }
    for (const listener of this.#listeners.get(message.sessionId) ?? []) listener(message.method, message.params);
  }

  call(method, params = {}, sessionId = undefined) {
    const id = this.#next++;
    const answer = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method}: no answer`)), PATIENCE);
      const done = (settle) => (value) => { clearTimeout(timer); settle(value); };
      this.#waiting.set(id, { method, resolve: done(resolve), reject: done(reject) });
    });
    this.#child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return answer;
  }

  async open() {
    const { targetId } = await this.call('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.call('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(this, targetId, sessionId);
    this.#listeners.set(sessionId, [(method, params) => page.hear(method, params)]);
    for (const domain of ['Page', 'Runtime', 'Network', 'Log']) await page.call(`${domain}.enable`);
    return page;
  }

  async close() {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    await this.call('Browser.close').catch(() => this.#child.kill());
    await ended;
    rmSync(this.#profile, { recursive: true, force: true });
  }
}

/** A tab. `complaints` are errors and warnings of its console, `requests` what it asked for. */
class Page {
  complaints = [];
  requests = [];
  #browser;
  #target;
  #session;
  #events = new Map();

  constructor(browser, target, session) {
    this.#browser = browser;
    this.#target = target;
    this.#session = session;
  }

  call(method, params) {
    return this.#browser.call(method, params, this.#session);
  }

  hear(method, params) {
    if (method === 'Network.requestWillBeSent') this.requests.push(params.request.url);
    if (method === 'Runtime.exceptionThrown') {
      this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    }
    if (method === 'Runtime.consoleAPICalled' && ['error', 'warning', 'assert'].includes(params.type)) {
      this.complaints.push(params.args.map((a) => a.value ?? a.description).join(' '));
    }
    if (method === 'Log.entryAdded' && ['error', 'warning'].includes(params.entry.level)) this.complaints.push(params.entry.text);
    this.#events.get(method)?.();
    this.#events.delete(method);
  }

  next(method) {
    return new Promise((resolve) => this.#events.set(method, resolve));
  }

  async go(url) {
    const loaded = this.next('Page.loadEventFired');
    await this.call('Page.navigate', { url });
    await loaded;
  }

  // In the page; a promise is waited for.
  async run(expression) {
    const { result, exceptionDetails } = await this.call('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async size(width, height) {
    await this.call('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 700 });
  }

  async media(scheme, media = '') {
    await this.call('Emulation.setEmulatedMedia', { media, features: [{ name: 'prefers-color-scheme', value: scheme }] });
  }

  async key(key, code, text = undefined) {
    const event = { key, code, text, windowsVirtualKeyCode: { Tab: 9, Enter: 13, Space: 32 }[code] };
    await this.call('Input.dispatchKeyEvent', { type: 'keyDown', ...event });
    await this.call('Input.dispatchKeyEvent', { type: 'keyUp', ...event });
  }

  async shot(most) {
    const { cssContentSize } = await this.call('Page.getLayoutMetrics');
    const clip = { x: 0, y: 0, width: cssContentSize.width, height: Math.min(cssContentSize.height, most), scale: 1 };
    const { data } = await this.call('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true, clip });
    return Buffer.from(data, 'base64');
  }

  async close() {
    await this.#browser.call('Target.closeTarget', { targetId: this.#target });
  }
}
