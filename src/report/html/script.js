'use strict';
// The page can be read without this. It filters outcomes, opens what a link points to, and unfolds everything for paper.
(() => {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const outcomes = all('.outcome');
  const chapters = all('.chapter').map((box) => ({ box, outcomes: all('.outcome', box) }));
  const filters = document.getElementById('filters');
  const find = document.getElementById('find');
  const shown = document.getElementById('shown');
  const boxes = filters ? all('input[type=checkbox]', filters) : [];
  const texts = new Map();

  // Made when first searched, so that a large page opens at once.
  const textOf = (outcome) => {
    if (!texts.has(outcome)) texts.set(outcome, outcome.textContent.toLowerCase());
    return texts.get(outcome);
  };
  const chosen = (name) => boxes.filter((box) => box.name === name && box.checked).map((box) => box.value);

  function apply() {
    const verdicts = chosen('verdict');
    const kinds = chosen('kind');
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const chapter of chapters) {
      let some = false;
      for (const outcome of chapter.outcomes) {
        const fits = (!verdicts.length || verdicts.includes(outcome.dataset.verdict))
          && (!kinds.length || kinds.includes(outcome.dataset.kind))
          && words.every((word) => textOf(outcome).includes(word));
        outcome.hidden = !fits;
        some ||= fits;
        count += fits;
      }
      chapter.box.hidden = !some;
    }
    const text = count ? shown.dataset.text : shown.dataset.none;
    shown.textContent = text.replace('{shown}', count).replace('{all}', outcomes.length);
  }

  // The state of the filters stands where the anchor would: `#verdict=failed,blocked&kind=documented&q=words`.
  function remember() {
    const state = new URLSearchParams();
    for (const name of ['verdict', 'kind']) {
      const values = chosen(name);
      if (values.length) state.set(name, values.join(','));
    }
    if (find.value.trim()) state.set('q', find.value.trim());
    const hash = state.toString().replaceAll('%2C', ',');
    try {
      history.replaceState(null, '', `#${hash || 'outcomes'}`);
    } catch {
      // Some browsers forbid it for files; the filters work all the same.
    }
  }

  function set(state) {
    for (const box of boxes) box.checked = (state.get(box.name) || '').split(',').includes(box.value);
    find.value = state.get('q') || '';
    apply();
  }

  function follow() {
    const hash = location.hash.slice(1);
    const state = new URLSearchParams(hash);
    if (filters && ['verdict', 'kind', 'q'].some((name) => state.has(name))) {
      set(state);
      return;
    }
    let target = null;
    try {
      target = hash && document.getElementById(decodeURIComponent(hash));
    } catch {
      // A hash that cannot be decoded points nowhere.
    }
    if (!target) return;
    if (filters && (target.hidden || target.closest('[hidden]'))) set(new URLSearchParams());
    if (target.classList.contains('outcome')) all('details', target).forEach((details) => { details.open = true; });
    target.scrollIntoView();
  }

  if (filters) {
    filters.hidden = false;
    const changed = () => { apply(); remember(); };
    filters.addEventListener('change', changed);
    find.addEventListener('input', changed);
    document.getElementById('reset').addEventListener('click', () => { set(new URLSearchParams()); remember(); });
    const fold = (open) => () => all('#outcomes details').forEach((details) => { details.open = open; });
    document.getElementById('unfold').addEventListener('click', fold(true));
    document.getElementById('fold').addEventListener('click', fold(false));
    for (const link of all('[data-only]')) {
      link.addEventListener('click', (event) => {
        event.preventDefault();
        set(new URLSearchParams({ verdict: link.dataset.only }));
        remember();
        document.getElementById('outcomes').scrollIntoView();
        document.querySelector(`input[name=verdict][value=${link.dataset.only}]`).focus({ preventScroll: true });
      });
    }
    apply();
  }
  window.addEventListener('hashchange', follow);
  // A second click on the same link changes no hash, but should open what was closed meanwhile.
  document.addEventListener('click', (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link && !event.defaultPrevented && link.hash === location.hash) follow();
  });
  follow();

  let closed = [];
  window.addEventListener('beforeprint', () => {
    closed = all('details:not([open])');
    closed.forEach((details) => { details.open = true; });
  });
  window.addEventListener('afterprint', () => {
    closed.forEach((details) => { details.open = false; });
    closed = [];
  });
})();
