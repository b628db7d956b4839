// Looks at HTML reports as a person would: with and without a mouse, in the light and in the dark, on a telephone and on a desk, on paper.
//
//   AXE=axe.min.js CHROMIUM=program SHOTS=directory node check.mjs FILE.html...

import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

import { Browser } from './browser.mjs';

const { AXE, CHROMIUM, SHOTS } = process.env;
const WIDTHS = [[360, 780], [768, 1024], [1280, 900]];
// Pixels of a screenshot; Chromium draws none much higher.
const HIGHEST = 12_000;
// Above it axe would take minutes, and the same markup is in the smaller pages.
const MOST_FOR_AXE = 500;

const axe = readFileSync(AXE, 'utf8');
let passed = 0;
const failures = [];

function check(file, what, holds, seen = '') {
  if (holds) passed += 1;
  else failures.push(`${file}: ${what}${seen === '' ? '' : `: ${typeof seen === 'string' ? seen : JSON.stringify(seen)}`}`);
}

const visible = `Array.from(document.querySelectorAll('.outcome')).filter((o) => o.checkVisibility())`;

async function looks(page, file, outcomes) {
  const views = ['light', 'dark'].flatMap((scheme) => WIDTHS.map(([width, height]) => ({ scheme, width, height })));
  const see = async ({ scheme, width, height }) => {
    await page.media(scheme);
    await page.size(width, height);
  };
  for (const view of views) {
    await see(view);
    const wide = await page.run('document.documentElement.scrollWidth');
    check(file, `at ${view.width} px nothing sticks out (${view.scheme})`, wide <= view.width, `${wide} px`);
    writeFileSync(join(SHOTS, `${basename(file, '.html')}-${view.width}-${view.scheme}.png`), await page.shot(HIGHEST));
  }
  // What is folded is looked at too.
  await page.run(`document.querySelectorAll('details').forEach((d) => { d.open = true; })`);
  for (const view of views.filter((v) => outcomes <= MOST_FOR_AXE && v.width !== 768)) {
    await see(view);
    const found = await page.run(`axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.map((v) =>
      ({ id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' ' + n.failureSummary) })))`);
    const serious = found.filter((v) => ['serious', 'critical'].includes(v.impact));
    for (const v of found.filter((v) => !serious.includes(v))) {
      console.log(`${file}: axe (${view.width} px, ${view.scheme}) ${v.impact}: ${v.id}: ${v.nodes[0]}`);
    }
    check(file, `axe finds nothing serious (${view.width} px, ${view.scheme})`, serious.length === 0, serious);
  }
  await see({ scheme: 'light', width: 1280, height: 900 });
}

async function filters(page, file, url, outcomes) {
  const count = () => page.run(`${visible}.length`);
  const verdicts = await page.run(`Array.from(document.querySelectorAll('input[name=verdict]')).map((i) => i.value)`);
  for (const verdict of verdicts) {
    const wanted = await page.run(`document.querySelectorAll('.outcome[data-verdict="${verdict}"]').length`);
    await page.run(`document.querySelector('input[value="${verdict}"]').click()`);
    check(file, `the filter ${verdict} shows its outcomes`, (await count()) === wanted);
    const status = await page.run(`document.getElementById('shown').textContent`);
    check(file, `the count for ${verdict} is told`, status.includes(String(wanted)) && status.includes(String(outcomes)), status);
    check(file, `the filter ${verdict} is in the address`, (await page.run('location.hash')).includes(`verdict=${verdict}`));
    await page.run(`document.querySelector('input[value="${verdict}"]').click()`);
  }
  check(file, 'no filter shows all', (await count()) === outcomes);

  // By keyboard: to the first box, Space, and on to the search.
  await page.run(`document.querySelector('input[name=verdict]').focus()`);
  await page.key(' ', 'Space', ' ');
  check(file, 'a box is ticked by Space', await page.run(`document.querySelector('input[name=verdict]').checked`));
  const first = await count();
  await page.key(' ', 'Space', ' ');
  for (let n = 0; n < 12 && (await page.run('document.activeElement.id')) !== 'find'; n += 1) await page.key('Tab', 'Tab');
  check(file, 'Tab reaches the search', (await page.run('document.activeElement.id')) === 'find');
  const id = await page.run(`document.querySelector('.outcome:last-child .id code').textContent`);
  await page.call('Input.insertText', { text: id.toUpperCase() });
  check(file, 'the search finds an outcome by its id', (await count()) >= 1 && (await count()) <= Math.max(first, 20), await count());
  await page.run(`document.getElementById('find').value = 'nothing is called so'; document.getElementById('find').dispatchEvent(new Event('input', { bubbles: true }))`);
  const none = await page.run(`document.getElementById('shown').textContent === document.getElementById('shown').dataset.none`);
  check(file, 'that nothing was found is told', (await count()) === 0 && none);
  await page.run(`document.getElementById('reset').click()`);
  check(file, 'all are shown again', (await count()) === outcomes);

  // The address brings filters back.
  await page.go('about:blank');
  await page.go(`${url}#verdict=${verdicts[0]}`);
  check(file, 'a link with a filter filters', (await count()) === (await page.run(`document.querySelectorAll('.outcome[data-verdict="${verdicts[0]}"]').length`)));
}

async function deepLinks(page, file, url) {
  const anchors = await page.run(`Array.from(document.querySelectorAll('.outcome')).filter((o) => o.querySelector('details')).map((o) => o.id)`);
  for (const anchor of [anchors[0], anchors.at(-1)].filter(Boolean)) {
    await page.go('about:blank');
    await page.go(`${url}#${anchor}`);
    const target = `document.getElementById(${JSON.stringify(anchor)})`;
    // Layout of what was out of sight goes on after the load.
    await page.run('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))');
    const { top, bottom, open } = await page.run(`(() => { const box = ${target}.getBoundingClientRect();
      return { top: box.top, bottom: box.bottom, open: ${target}.querySelector('details').open }; })()`);
    check(file, `the link to ${anchor} opens it`, open);
    check(file, `the link to ${anchor} shows it`, top < 900 && bottom > 0, `${top} to ${bottom}`);
    // A filter that hides it gives way.
    await page.run(`document.getElementById('find').value = 'nothing is called so'; document.getElementById('find').dispatchEvent(new Event('input', { bubbles: true }))`);
    await page.run(`location.hash = ${JSON.stringify(anchor)}; new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))`);
    check(file, `the link to ${anchor} shows what was filtered out`, await page.run(`${target}.checkVisibility()`));
  }
}

async function paper(page, file) {
  const folded = await page.run(`document.querySelectorAll('details:not([open])').length`);
  await page.run(`window.dispatchEvent(new Event('beforeprint'))`);
  check(file, 'paper shows everything', (await page.run(`document.querySelectorAll('details:not([open])').length`)) === 0);
  await page.run(`window.dispatchEvent(new Event('afterprint'))`);
  check(file, 'the screen is as before', (await page.run(`document.querySelectorAll('details:not([open])').length`)) === folded);
}

async function withoutScript(page, file, url, outcomes) {
  await page.call('Emulation.setScriptExecutionDisabled', { value: true });
  await page.go(url);
  check(file, 'all outcomes are there without scripts', (await page.run(`${visible}.length`)) === outcomes);
  check(file, 'no filters are shown without scripts', await page.run(`!document.getElementById('filters')?.checkVisibility()`));
  await page.call('Emulation.setScriptExecutionDisabled', { value: false });
}

const browser = new Browser(CHROMIUM);
try {
  for (const file of process.argv.slice(2)) {
    const url = pathToFileURL(resolve(file)).href;
    const started = performance.now();
    const page = await browser.open();
    await page.size(1280, 900);
    await page.go(url);
    const loaded = Math.round(performance.now() - started);
    const outcomes = await page.run(`document.querySelectorAll('.outcome').length`);
    console.log(`${file}: ${outcomes} outcomes, opened in ${loaded} ms`);
    // Evaluated by the debugger, which the page's policy does not bind.
    await page.run(axe);
    await looks(page, file, outcomes);
    await page.go('about:blank');
    await page.go(url);
    if (outcomes) {
      await filters(page, file, url, outcomes);
      await deepLinks(page, file, url);
    }
    await paper(page, file);
    await withoutScript(page, file, url, outcomes);
    check(file, 'the console is silent', page.complaints.length === 0, page.complaints.slice(0, 5));
    const foreign = page.requests.filter((r) => r.split('#')[0] !== url && r !== 'about:blank' && !r.startsWith('data:'));
    check(file, 'nothing else is asked for', foreign.length === 0, foreign.slice(0, 5));
    await page.close();
  }
} finally {
  await browser.close();
}
for (const failure of failures) console.error(`FAILED ${failure}`);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length ? 1 : 0;
