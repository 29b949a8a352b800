// The Review tab in the browser: keys, the next pair at hand, votes sent until they are acknowledged, drafts while typing.
// A vote shows the next pair at once. It then waits in the outbox, which survives the browser itself, until the app says
// that it is stored; each has a key of its own, so that sending it twice is one vote. Talks to `Desk.answer` only.
window.dermiqReview = window.dermiqReview || (() => {
  "use strict";
  const STORE = "dermiq-review";
  const PATIENCE_MS = 15000, RETRY_MS = 400, SLOWEST_MS = 5000, DRAFT_MS = 400, CHECK_MS = 350, REMEMBERED = 20;
  const FIELDS = "input:not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable=true]";
  const KEYS = { 1: "a", 2: "b", 3: "tie", 4: "both_bad", s: "skip" };
  const ARROWS = { ArrowLeft: "a", ArrowRight: "b", ArrowUp: "tie", ArrowDown: "both_bad" };

  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const unique = () => (crypto.randomUUID ? crypto.randomUUID() : Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0")).join(""));
  const held = (name) => JSON.parse(sessionStorage.getItem(`${STORE}:${name}`) || "null");
  const hold = (name, value) => sessionStorage.setItem(`${STORE}:${name}`, JSON.stringify(value));

  // One item for each entry, so that two windows never write over each other's.
  const unsent = {
    keep: (entry) => localStorage.setItem(`${STORE}:unsent:${entry.key}`, JSON.stringify(entry)),
    drop: (entry) => localStorage.removeItem(`${STORE}:unsent:${entry.key}`),
    of: (who) => Object.keys(localStorage).filter((k) => k.startsWith(`${STORE}:unsent:`)).map((k) => JSON.parse(localStorage.getItem(k)))
      .filter((e) => e.who === who).sort((a, b) => a.at - b.at),
  };

  function mount(element, send, train) {
    const root = element.querySelector(".dq-root");
    const $ = (selector) => root.querySelector(selector);
    const part = (name) => $(`[data-part="${name}"]`);
    const me = held("me") || {}; // token, name, admin
    const likes = held("likes") || { folded: false, plain: false };
    let outbox = []; // what was not acknowledged, in order
    let queue = []; // pairs at hand; the first is on the screen
    let done = []; // what was judged since the page was opened, for undo: {key, vote, item}
    let mode = "work", last = "", end = "", lost = false, asking = false, started = false;
    let drafting = Promise.resolve(), draftTimer = 0, checkTimer = 0, checks = 0, since = 0;

    // --- talking to the app ---------------------------------------------------------------
    async function ask(message) {
      const late = pause(PATIENCE_MS).then(() => null);
      const reply = await Promise.race([send({ mode, ...message, token: me.token }).catch(() => null), late]);
      if (!reply) return null;
      if (reply.sign_in === undefined) return reply;
      if (!reply.left && !reply.asks && me.name && message.do !== "sign_in") { // the app was started anew
        const back = await ask({ do: "sign_in", fields: { name: me.name, admin: me.admin } });
        if (back && back.token) { signedIn(back); return message.do === "hello" ? back : ask(message); }
      }
      return { ...reply, out: true };
    }

    function signedIn(reply, fields) {
      me.token = reply.token;
      if (fields) Object.assign(me, { name: fields.name.trim(), admin: fields.admin });
      hold("me", me);
    }

    function post(entry) {
      outbox.push({ who: me.name, mode, at: Date.now(), ...entry });
      unsent.keep(outbox.at(-1));
      status();
      pump();
    }

    let pumping = false;
    async function pump() {
      if (pumping) return;
      pumping = true;
      for (let wait = RETRY_MS; outbox.length; ) {
        const entry = outbox[0];
        await drafting; // a draft must not overtake the vote that ends it
        const reply = await ask(ready(entry));
        if (reply && reply.out) { gate(reply); break; }
        if (!reply || reply.later) {
          lost = true;
          status();
          await pause(wait);
          wait = Math.min(2 * wait, SLOWEST_MS);
          continue;
        }
        [wait, lost] = [RETRY_MS, false];
        outbox.shift();
        unsent.drop(entry);
        settled(entry, reply);
      }
      pumping = false;
      status();
    }

    // What is sent says at that moment which pair is on the screen.
    function ready(entry) {
      if (entry.do !== "vote") return entry;
      const pending = outbox.filter((e) => e !== entry && e.do === "vote").at(-1);
      const ahead = queue.at(-1) || pending;
      return { ...entry, after: ahead && ahead.pair, wanted: queue.length < 2 };
    }

    function settled(entry, reply) {
      if (reply.error) return refused(entry, reply.error);
      if (entry.do === "vote") {
        const judged = done.find((d) => d.key === entry.key);
        if (judged) judged.vote = reply.saved.vote;
        for (const undoing of outbox.filter((e) => e.of === entry.key)) unsent.keep(Object.assign(undoing, { vote: reply.saved.vote }));
        last = reply.saved.vote;
        toast(reply.saved.said, reply.saved.vote);
      } else if (entry.do === "undo") toast("Taken back. Judge it again.");
      else toast(reply.told);
      if (reply.work) take(reply.work, entry.do === "undo");
    }

    function refused(entry, why) {
      outbox.filter((e) => e.of === entry.key).forEach(unsent.drop);
      outbox = outbox.filter((e) => e.of !== entry.key);
      done = done.filter((d) => d.key !== entry.key);
      tell(why);
      if (entry.do !== "edit") fetchWork();
    }

    function status() {
      const line = part("saved");
      if (!line) return;
      line.dataset.state = lost ? "lost" : outbox.length ? "saving" : "saved";
      const text = lost ? `Not saved yet: ${outbox.length}. The app does not answer; trying again.` : outbox.length ? "Saving" : last || done.length ? "All saved" : "";
      if (line.textContent !== text) line.textContent = text;
    }

    // --- pairs ----------------------------------------------------------------------------
    const known = (item) => queue.some((q) => q.pair === item.pair) || outbox.some((e) => e.do === "vote" && e.pair === item.pair);

    function take(work, front = false) {
      const before = queue[0];
      for (const item of work.items) {
        if (known(item)) continue;
        const node = document.createElement("div");
        node.innerHTML = item.html; // loads the image while another pair is on the screen
        queue[front ? "unshift" : "push"]({ pair: item.pair, showing: item.showing, node, spent: 0 });
      }
      if (part("progress")) part("progress").innerHTML = work.progress;
      if (work.last) last = work.last;
      end = work.end;
      if (queue[0] !== before || !queue.length) show();
    }

    async function fetchWork() {
      if (asking) return;
      asking = true;
      const reply = await ask({ do: "work" });
      asking = false;
      if (!reply || reply.later) return pause(RETRY_MS * 3).then(fetchWork);
      if (reply.out) return gate(reply);
      if (reply.error) return tell(reply.error);
      queue = queue.filter((q) => reply.work.items.some((i) => i.showing === q.showing));
      take(reply.work);
    }

    function show() {
      const place = part("pair"), item = queue[0];
      if (!place) return;
      const waiting = !item && (outbox.length > 0 || !end);
      clock();
      $(".dq-review").dataset.empty = item ? "no" : "yes";
      if (item) place.replaceChildren(item.node);
      else place.innerHTML = waiting ? '<p class="dq-placeholder" role="status">Fetching the next pair.</p>' : end;
      if (waiting && !outbox.length) fetchWork();
      liked();
      const start = place.querySelector("section[tabindex]");
      if (start && visible() && !root.querySelector("dialog[open]")) start.focus({ preventScroll: true });
      if (item && root.getBoundingClientRect().top < 0) root.scrollIntoView({ block: "start" });
    }

    // Seconds that the pair was really in view.
    const visible = () => root.isConnected && root.offsetParent !== null && document.visibilityState === "visible";
    let watched = null;
    function clock() {
      const now = performance.now();
      if (watched && since) watched.spent += (now - since) / 1000;
      watched = queue[0];
      since = watched && visible() ? now : 0;
    }

    function choose(choice) {
      const item = queue[0];
      if (!item) return;
      const form = said(item.node);
      const rubric = item.node.querySelector("[data-rubric=required]");
      if (rubric && choice !== "skip" && item.node.querySelectorAll("[data-rubric] :checked").length < 8) {
        tell("Give all eight grades first: they are needed for every vote here.");
        return grade(item.node);
      }
      tell("");
      clearTimeout(draftTimer);
      clock();
      queue.shift();
      const key = unique();
      done = [...done, { key, item }].slice(-REMEMBERED);
      post({ do: "vote", key, pair: item.pair, showing: item.showing, choice, seconds: item.spent, rubric: form.rubric, comment: form.comment });
      show();
    }

    function undo() {
      tell("");
      const judged = done.pop();
      if (!judged && !last) return tell("There is no vote to take back.");
      if (!judged) return post({ do: "undo", vote: last, key: unique() });
      judged.item.spent = 0;
      queue.unshift(judged.item);
      post({ do: "undo", of: judged.key, vote: judged.vote, key: unique() });
      show();
    }

    async function look() {
      const vote = (done.at(-1) || {}).vote || last;
      if (!vote) return tell(outbox.length ? "The last vote is not saved yet." : "There is no judged pair to look back at.");
      const reply = await ask({ do: "look", vote });
      if (!reply) return tell("The app does not answer. Try again in a moment.");
      handle(reply);
      if (reply.parts) $("[data-dialog=look]").showModal();
    }

    // --- what is typed --------------------------------------------------------------------
    function said(node) {
      const rubric = {};
      for (const radio of node.querySelectorAll("[data-rubric] :checked")) {
        const [, side, name] = /^(a|b)-(\w+)$/.exec(radio.name);
        (rubric[side] = rubric[side] || {})[name] = Number(radio.value);
      }
      const texts = {};
      for (const area of node.querySelectorAll("textarea[data-edit]"))
        if (area.value !== area.dataset.text) texts[area.dataset.edit] = area.value;
      const comment = node.querySelector("[data-comment]");
      return { rubric, texts, comment: comment ? comment.value : "" };
    }

    function draft() {
      clearTimeout(draftTimer);
      draftTimer = setTimeout(keep, DRAFT_MS);
    }

    function keep() {
      clearTimeout(draftTimer);
      draftTimer = 0;
      const item = queue[0];
      if (!item) return;
      drafting = ask({ do: "draft", showing: item.showing, ...said(item.node) }).then((reply) => {
        if (!reply || reply.later) draft();
      });
    }

    const editor = () => queue[0] && queue[0].node.querySelector("[data-editor]");
    const areas = () => [...editor().querySelectorAll("textarea[data-edit]")];

    function correct(side) {
      if (!editor()) return;
      editor().hidden = false;
      for (const area of areas()) area.hidden = area.dataset.edit !== side;
      editor().querySelector(`[name=correcting][value=${side}]`).checked = true;
      const area = areas().find((a) => !a.hidden);
      area.focus();
      area.setSelectionRange(0, 0);
      editor().scrollIntoView({ block: "nearest" });
      check();
    }

    function check() {
      clearTimeout(checkTimer);
      checkTimer = setTimeout(async () => {
        const box = editor(), number = ++checks;
        if (!box || box.hidden) return;
        const area = areas().find((a) => !a.hidden);
        const reply = await ask({ do: "check", showing: queue[0].showing, side: area.dataset.edit, text: area.value });
        if (number === checks && reply && (reply.marks || reply.error)) box.querySelector("[data-marks]").innerHTML = reply.marks || "";
        if (reply && reply.error) tell(reply.error);
      }, CHECK_MS);
    }

    function correction(what) {
      const area = areas().find((a) => !a.hidden);
      if (what === "reset") area.value = area.dataset.text;
      if (what === "save") post({ do: "edit", key: unique(), showing: queue[0].showing, side: area.dataset.edit, text: area.value });
      if (what === "reset") return check(), draft();
      editor().hidden = true;
      queue[0].node.querySelector("section").focus({ preventScroll: true });
      if (what === "save") queue[0].node.querySelector(`article[data-side=${area.dataset.edit}]`).dataset.corrected = "yes";
    }

    function grade(node) {
      const box = node.querySelector("[data-rubric]");
      if (!box) return;
      box.open = true;
      const groups = [...box.querySelectorAll("[role=radiogroup]")];
      const open = groups.find((g) => !g.querySelector(":checked")) || groups[0];
      (open.querySelector(":checked") || open.querySelector("input")).focus();
      box.scrollIntoView({ block: "nearest" });
    }

    function digit(radio, key) {
      const groups = [...radio.closest("[data-rubric]").querySelectorAll("[role=radiogroup]")];
      const group = radio.closest("[role=radiogroup]");
      const chosen = group.querySelector(`input[value="${key}"]`);
      chosen.checked = true;
      draft();
      const next = groups[groups.indexOf(group) + 1];
      if (next) (next.querySelector(":checked") || next.querySelector("input")).focus();
      else queue[0].node.querySelector("section").focus({ preventScroll: true });
    }

    // --- how it is shown ------------------------------------------------------------------
    function tell(text, good = false) {
      const line = part("told");
      if (line) Object.assign(line, { textContent: text, className: text ? (good ? "dq-done" : "dq-error") : "" });
    }

    function toast(text, vote) {
      const box = part("toast");
      if (!box || !text) return;
      box.textContent = text;
      for (const [key, name] of vote ? [["u", "Undo"], ["b", "Look back"]] : []) {
        const button = document.createElement("button");
        Object.assign(button, { type: "button", className: "dq-quiet", innerHTML: `${name} <kbd>${key}</kbd>` });
        button.dataset.press = { u: "undo", b: "look" }[key];
        box.append(" ", button);
      }
    }

    function liked() {
      const review = $(".dq-review");
      if (!review) return;
      review.classList.toggle("dq-same-words", likes.plain);
      root.querySelectorAll("[data-fold]").forEach((d) => (d.open = !likes.folded));
      hold("likes", likes);
    }

    const pressed = {
      undo, look,
      correct: () => correct("a"),
      correct_b: () => correct("b"),
      help: () => $("[data-dialog=help]").showModal(),
      rubric: () => queue[0] && grade(queue[0].node),
      comment: () => { const c = queue[0] && queue[0].node.querySelector("[data-comment]"); if (c) c.focus(); },
      fold: () => { likes.folded = !likes.folded; liked(); },
      differ: () => { likes.plain = !likes.plain; liked(); },
      zoom: () => { const f = queue[0] && queue[0].node.querySelector("[data-zoom]"); if (f) dermiqZoom.step(f); },
    };
    const LETTERS = { u: "undo", b: "look", e: "correct", E: "correct_b", r: "rubric", c: "comment", f: "fold", d: "differ", z: "zoom", "?": "help" };

    async function view(name) {
      tell("");
      root.querySelectorAll("[data-view]").forEach((b) => (b.dataset.view === name ? b.setAttribute("aria-current", "page") : b.removeAttribute("aria-current")));
      const works = name === "work" || name === "split";
      $(".dq-review").dataset.mode = name;
      part("work").hidden = !works;
      part("view").hidden = works;
      clock();
      [queue, end] = [[], ""];
      if (works) { [mode, done, last] = [name, [], ""]; return show(); }
      part("view").innerHTML = '<p class="dq-placeholder" role="status">Counting.</p>';
      handle(await ask({ do: name }));
    }

    function gate(reply) {
      root.innerHTML = reply.sign_in;
      queue = [];
      const field = $("[name=name]");
      if (field && visible()) field.focus({ preventScroll: true });
    }

    function handle(reply, fields) {
      if (!reply) return tell("The app does not answer. Try again in a moment.");
      if (reply.token) signedIn(reply, fields);
      if (reply.left) { delete me.token; delete me.name; hold("me", me); }
      if (reply.sign_in !== undefined) return gate(reply);
      if (reply.frame) {
        root.innerHTML = reply.frame;
        [queue, done, mode] = [[], [], "work"];
        outbox = unsent.of(me.name);
      }
      for (const [name, html] of Object.entries(reply.parts || {})) part(name).innerHTML = html;
      tell(reply.told || reply.error || reply.later || "", Boolean(reply.told));
      if (reply.download) dermiq.download(reply.download);
      if (reply.train) train(reply.train);
      if (reply.work) take(reply.work);
      if (reply.frame) { status(); pump(); }
    }

    async function act(button) {
      const form = button.closest("[data-fields]"), fields = {};
      for (const field of form ? form.querySelectorAll("[name]") : []) fields[field.name] = field.type === "checkbox" ? field.checked : field.value;
      if (button.dataset.do === "again") return fetchWork();
      button.disabled = true;
      const reply = await ask({ do: button.dataset.do, value: button.dataset.value || "", fields });
      button.disabled = false;
      handle(reply, fields);
    }

    async function open() {
      started = true;
      const reply = await ask({ do: "hello" });
      if (!reply || reply.later) return pause(RETRY_MS * 3).then(open);
      handle(reply);
    }

    // --- events ---------------------------------------------------------------------------
    root.addEventListener("click", (e) => {
      const byPointer = e.detail > 0 && e.target.matches("[data-rubric] input");
      if (byPointer) return queue[0].node.querySelector("section").focus({ preventScroll: true }); // keys vote again
      const button = e.target.closest("button");
      if (!button || button.disabled) return;
      const { choose: choice, press, view: name, correct: what } = button.dataset;
      if (choice) choose(choice);
      else if (press) pressed[press]();
      else if (name) view(name);
      else if (what) correction(what);
      else if (button.dataset.do) act(button);
    });
    root.addEventListener("change", (e) => {
      if (e.target.name === "correcting") correct(e.target.value);
      else if (e.target.matches("input[type=file][data-do]")) file(e.target);
      else if (e.target.closest(".dq-pair")) draft();
    });
    root.addEventListener("input", (e) => {
      if (e.target.matches("textarea[data-edit]")) check();
      if (e.target.closest(".dq-pair")) draft();
    });

    async function file(input) {
      const [chosen] = input.files;
      if (!chosen) return;
      tell("Reading the file.");
      const text = await chosen.text();
      input.value = "";
      handle(await ask({ do: input.dataset.do, value: chosen.name, text }));
    }

    document.addEventListener("keydown", (e) => {
      if (!visible() || e.repeat || e.defaultPrevented || $("dialog[open]")) return;
      const t = e.target;
      if (e.key === "Enter" && t.matches("[data-enter] input")) return act(t.closest("[data-enter]").querySelector("[data-do]"));
      if (e.key === "Enter" && e.ctrlKey && t.closest("[data-editor]")) return correction("save");
      if (e.ctrlKey || e.metaKey || e.altKey || !["work", "split"].includes(($(".dq-review") || { dataset: {} }).dataset.mode)) return;
      if (e.key === "Escape" && root.contains(t)) {
        if (document.querySelector(".dq-card:popover-open")) return;
        if (t.closest("[data-editor]")) return correction("close");
        const section = queue[0] && queue[0].node.querySelector("section");
        if (section && t.closest(".dq-pair")) section.focus({ preventScroll: true });
        else t.blur();
        return;
      }
      if (t.matches(FIELDS)) return;
      const radio = t.matches("[data-rubric] input") && t;
      if (radio && /^[1-5]$/.test(e.key)) { e.preventDefault(); return digit(radio, e.key); }
      if (t.matches("input")) return;
      const digits = /^(?:Digit|Numpad)([1-4])$/.exec(e.code);
      const key = digits && !e.shiftKey ? digits[1] : e.key.length === 1 && e.key > "\u007f" && /^Key/.test(e.code) ? e.code.slice(3).toLowerCase() : e.key;
      const arrow = mode === "split" && !t.matches("[data-zoom]") && ARROWS[key];
      const choice = KEYS[key] || arrow;
      if (!choice && !LETTERS[key]) return;
      e.preventDefault();
      choice ? choose(choice) : pressed[LETTERS[key]]();
    });
    document.addEventListener("visibilitychange", () => {
      clock();
      if (document.visibilityState === "hidden" && draftTimer) keep();
    });
    new IntersectionObserver(() => {
      clock();
      if (!started && visible()) open();
      if (document.visibilityState === "visible" && started) hold("here", visible() || outbox.length > 0); // page.js goes on
    }).observe(element);
  }

  return { mount };
})();
