// What pages do more where scripts run: they change by themselves, and keys move through their rows. Everything works without.
"use strict";

(() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  // Pages come from this gateway only; the policy of the pages lets no other text become elements.
  const policy = window.trustedTypes ? trustedTypes.createPolicy("raptorgate", { createHTML: (text) => text }) : { createHTML: (text) => text };
  let events = null;
  let timer = 0;
  let loading = false;
  let picked = new Set();

  // --- news --------------------------------------------------------------------------------------------------------

  function listen() {
    if (events) events.close();
    events = null;
    clearTimeout(timer);
    const address = document.body.dataset.live;
    // A browser has few connections to one host: what nobody sees needs none.
    if (!address || document.hidden) return;
    events = new EventSource(address);
    events.addEventListener("page", () => { events.close(); load(); });
    events.addEventListener("rows", (event) => JSON.parse(event.data).forEach(setState));
    events.addEventListener("sofar", (event) => {
      const line = one("#sofar");
      if (line) line.textContent = JSON.parse(event.data).text;
    });
    events.onerror = () => {
      if (events.readyState !== EventSource.CLOSED) return;
      clearTimeout(timer);
      timer = setTimeout(load, 3000);
    };
  }

  function setState(row) {
    const cell = document.getElementById("s" + row.id);
    if (!cell) return;
    if (cell.textContent !== row.text) cell.textContent = row.text;
    cell.className = row.class;
    cell.title = row.title;
  }

  // The page as it is now takes the place of the one that is shown; what was picked, typed and scrolled to stays.
  async function load() {
    if (loading) return;
    loading = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      const page = new DOMParser().parseFromString(policy.createHTML(await answer.text()), "text/html");
      const main = page.querySelector("main");
      if (!main) throw new Error("no page");
      keepPicked();
      const focus = place(document.activeElement);
      const typed = one("#filter") && document.activeElement === one("#filter") ? one("#filter").value : null;
      const scrolled = [scrollX, scrollY];
      one("main").replaceWith(main);
      if (page.body.dataset.live) document.body.dataset.live = page.body.dataset.live;
      else delete document.body.dataset.live;
      document.title = page.title;
      prepare();
      if (typed !== null && one("#filter")) one("#filter").value = typed;
      if (focus) focus();
      scrollTo(...scrolled);
      listen();
    } catch {
      clearTimeout(timer);
      timer = setTimeout(load, 3000);
    } finally {
      loading = false;
    }
  }

  // How to find the place of an element again in the next page.
  function place(element) {
    if (!element || element === document.body) return null;
    const selector = element.id ? "#" + CSS.escape(element.id)
      : element.value && element.name ? `[name="${CSS.escape(element.name)}"][value="${CSS.escape(element.value)}"]`
      : element.getAttribute("href") ? `main a[href="${CSS.escape(element.getAttribute("href"))}"]` : null;
    return selector && (() => { const found = one(selector); if (found) found.focus({ preventScroll: true }); });
  }

  // --- what is picked ----------------------------------------------------------------------------------------------

  const boxes = () => all("tbody .pick input");

  function keepPicked() {
    picked = new Set(boxes().filter((box) => box.checked).map((box) => box.value));
  }

  function sayPicked() {
    const number = boxes().filter((box) => box.checked).length;
    const line = one("#picked");
    if (line) line.textContent = number ? `${number} selected; the price is shown first` : "What it costs is shown before anything is asked of the endpoint.";
    const every = one("#every");
    if (every) every.checked = number > 0 && number === boxes().length;
  }

  // --- a page that was just loaded ---------------------------------------------------------------------------------

  function prepare() {
    boxes().forEach((box) => { if (picked.has(box.value)) box.checked = true; });
    const head = one("thead .pick");
    if (head && boxes().length) {
      const every = document.createElement("input");
      every.type = "checkbox";
      every.id = "every";
      every.setAttribute("aria-label", "Select all on this page");
      every.addEventListener("change", () => { boxes().forEach((box) => { box.checked = every.checked; }); sayPicked(); });
      head.replaceChildren(every);
    }
    all("pre.command").forEach((block) => {
      if (!navigator.clipboard) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(block.textContent.trimEnd());
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
      block.before(button);
    });
    sayPicked();
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("tbody .pick input")) sayPicked();
    // A choice shows at once what the button beside it would.
    if (event.target.id === "client") event.target.form.submit();
  });

  // From one box to another with shift: all between.
  let last = null;
  document.addEventListener("click", (event) => {
    if (!event.target.matches("tbody .pick input")) return;
    const rows = boxes();
    const [from, to] = [rows.indexOf(last), rows.indexOf(event.target)];
    if (event.shiftKey && from >= 0) {
      rows.slice(Math.min(from, to), Math.max(from, to) + 1).forEach((box) => { box.checked = event.target.checked; });
      sayPicked();
    }
    last = event.target;
  });

  // --- keys --------------------------------------------------------------------------------------------------------

  const links = () => all("table.rows tbody .name a");

  function step(by) {
    const rows = links();
    if (!rows.length) return;
    const row = document.activeElement.closest("tr");
    const at = rows.findIndex((link) => row && link.closest("tr") === row);
    const next = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }

  function follow(selector) {
    const link = one(selector);
    if (link) location.assign(link.href);
  }

  const keys = {
    "/": () => { const filter = one("#filter"); if (filter) { filter.focus(); filter.select(); } },
    j: () => step(1),
    k: () => step(-1),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    Home: () => { const first = links()[0]; if (first) first.focus(); },
    End: () => { const rows = links(); if (rows.length) rows[rows.length - 1].focus(); },
    u: () => follow(".crumbs a:last-of-type"),
    n: () => follow("a[rel=next]"),
    p: () => follow("a[rel=prev]"),
    x: () => { const row = document.activeElement.closest("tr"); const box = row && row.querySelector(".pick input"); if (box) { box.checked = !box.checked; sayPicked(); } },
    "?": () => { const help = one("#keys"); if (help) help.open ? help.close() : help.showModal(); },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target.closest("input:not([type=checkbox]), select, textarea, pre");
    if (event.key === "Escape" && field) { field.blur(); return; }
    if (field || !keys[event.key]) return;
    if (event.key.startsWith("Arrow") && !document.activeElement.closest("table.rows")) return;
    event.preventDefault();
    keys[event.key]();
  });

  function help() {
    const dialog = document.createElement("dialog");
    dialog.id = "keys";
    const list = document.createElement("dl");
    for (const [key, what] of [["/", "filter"], ["j  k  ↓  ↑", "next, previous row"], ["Enter", "open"], ["x", "select"], ["u", "up"],
      ["n  p", "next, previous page"], ["?", "these keys"], ["Esc", "leave a field"]]) {
      const term = document.createElement("dt");
      term.textContent = key;
      const text = document.createElement("dd");
      text.textContent = what;
      list.append(term, text);
    }
    dialog.append(list);
    document.body.append(dialog);
  }

  // --- time --------------------------------------------------------------------------------------------------------

  setInterval(() => {
    const seconds = one("#seconds");
    if (seconds) seconds.textContent = String(Number(seconds.textContent) + 1);
  }, 1000);

  document.addEventListener("visibilitychange", listen);
  window.addEventListener("pagehide", () => { if (events) events.close(); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) load(); });
  prepare();
  help();
  listen();
})();
