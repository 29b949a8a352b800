// The Review tab in the browser: keys, the next pair at hand, and votes that wait in the outbox until the app has stored
// them. A vote shows the next pair at once. Talks to `ReviewController.answer` only.
window.dermiqReview = window.dermiqReview || (() => {
  "use strict";
  const _ = (text) => dermiq.text(text);
  const STORE = "dermiq-review";
  const PATIENCE_MS = 15000, LONG_MS = 30 * 60000, AGAIN_MS = 1200, LOOK_MS = 5000, REMEMBERED = 20;
  const MAX_SENT = 35e6; // bytes of files in one message
  const LONG = ["put_run", "freeze", "download"];
  const FIELDS = "input:not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable=true]";
  const KEYS = { 1: "a", 2: "b", 3: "tie", 4: "both_bad", s: "skip" };
  const ARROWS = { ArrowLeft: "a", ArrowRight: "b", ArrowUp: "tie", ArrowDown: "both_bad" };
  const LETTERS = { u: "undo", b: "look", e: "correct", E: "correct_b", r: "rubric", c: "comment", f: "fold", d: "differ", z: "zoom", "?": "help" };

  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const hex = (n) => n.toString(16).padStart(2, "0");
  const unique = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), hex).join("");
  const held = (name) => JSON.parse(sessionStorage.getItem(`${STORE}:${name}`) || "null");
  const hold = (name, value) => sessionStorage.setItem(`${STORE}:${name}`, JSON.stringify(value));

  function mount(element, call, train) {
    const root = element.querySelector(".dq-root");
    const $ = (selector) => root.querySelector(selector);
    const part = (name) => $(`[data-part="${name}"]`);
    const visible = () => root.isConnected && root.offsetParent !== null && document.visibilityState === "visible";
    const me = held("me") || {}; // token, name, admin
    const likes = held("likes") || { folded: false, plain: false };
    let queue = []; // pairs at hand, the first on the screen: {pair, showing, node, spent: seconds in view}
    let done = []; // what was judged since the view was opened, for undo: {key, vote, item}
    let mode = "work", last = "", ended = false, asking = false, started = false;

    // --- talking to the app ---------------------------------------------------------------
    async function ask(message, patience = PATIENCE_MS) {
      const late = pause(patience).then(() => null);
      const sent = { mode, ...message, token: me.token };
      const reply = await Promise.race([call(sent).catch(() => null), late]);
      if (!reply || reply.sign_in === undefined) return reply || null;
      if (!reply.left && !reply.asks && me.name && message.do !== "sign_in") { // the app was started anew
        const back = await ask({ do: "sign_in", fields: { name: me.name, admin: me.admin } });
        if (back && back.token) { signedIn(back); return message.do === "hello" ? back : ask(message, patience); }
      }
      return { ...reply, out: true };
    }

    function signedIn(reply, fields) {
      me.token = reply.token;
      if (fields) Object.assign(me, { name: fields.name.trim(), admin: fields.admin });
      hold("me", me);
    }

    const outbox = dermiqOutbox(async (entry) => {
      await typing.done(); // a draft must not overtake the vote that ends it
      const reply = await ask(entry.do === "vote" ? { ...entry, ...onScreen(entry) } : entry);
      if (reply && reply.out) gate(reply);
      return reply;
    }, settled, status);
    const post = (entry) => outbox.post({ who: me.name, mode, key: unique(), ...entry });
    const typing = dermiqTyping({ item: () => queue[0], ask, save: post, tell });

    // Which pair is on the screen when a vote is sent, and whether the one behind it is missing.
    function onScreen(entry) {
      const ahead = queue.at(-1) || outbox.votes().filter((e) => e !== entry).at(-1);
      return { after: ahead && ahead.pair, wanted: queue.length < 2 };
    }

    function settled(entry, reply) {
      if (reply.error) return refused(entry, reply.error);
      if (entry.do === "vote") {
        const { vote, said } = reply.saved;
        for (const judged of done) if (judged.key === entry.key) judged.vote = vote;
        outbox.stored(entry.key, vote);
        toast(said, vote);
      } else toast(entry.do === "undo" ? _("Taken back. Judge it again.") : reply.told);
      if (reply.work && entry.mode === mode) take(reply.work, entry.do === "undo");
    }

    function refused(entry, why) {
      outbox.refused(entry.key);
      done = done.filter((d) => d.key !== entry.key);
      tell(why);
      if (entry.do !== "edit") fetchWork();
    }

    function status(lost) {
      const line = part("saved");
      if (!line) return;
      line.dataset.state = lost ? "lost" : outbox.length ? "saving" : "saved";
      const calm = outbox.length ? _("Saving") : last || done.length ? _("All saved") : "";
      const text = lost ? _("Not saved yet: {n}. The app does not answer; trying again.").replace("{n}", outbox.length) : calm;
      if (line.textContent !== text) line.textContent = text; // else it would be read out again
    }

    // --- pairs ----------------------------------------------------------------------------
    const known = (item) => [...queue, ...outbox.votes()].some((other) => other.pair === item.pair);

    function take(work, front = false) {
      const before = queue[0];
      for (const item of work.items.filter((one) => !known(one))) {
        const node = document.createElement("div");
        node.innerHTML = item.html; // loads the image while another pair is on the screen
        queue[front ? "unshift" : "push"]({ pair: item.pair, showing: item.showing, node, spent: 0 });
      }
      part("progress").innerHTML = work.progress;
      [last, ended] = [work.last, work.ended];
      if (queue[0] !== before || !queue.length) show();
    }

    async function fetchWork() {
      if (asking) return;
      asking = true;
      const reply = await ask({ do: "work" });
      asking = false;
      if (!reply || reply.later) return pause(AGAIN_MS).then(fetchWork);
      if (!reply.work) return handle(reply);
      queue = queue.filter((q) => reply.work.items.some((i) => i.showing === q.showing));
      take(reply.work);
    }

    function show() {
      const place = part("pair"), item = queue[0];
      clock();
      $(".dq-review").dataset.empty = item ? "no" : "yes";
      if (item) place.replaceChildren(item.node);
      else place.innerHTML = '<p class="dq-placeholder" role="status">Fetching the next pair.</p>';
      if (!item && !outbox.length) ended ? showEnd() : fetchWork();
      liked();
      if (!item) return;
      if (visible() && !$("dialog[open]")) typing.away();
      if (root.getBoundingClientRect().top < 0) root.scrollIntoView({ block: "start" });
    }

    async function showEnd() {
      const asked = mode, reply = await ask({ do: "end" });
      if (queue.length || asked !== mode) return;
      handle(reply);
      const end = $(".dq-end");
      if (end && visible()) end.focus({ preventScroll: true });
      lookLater();
    }

    // Pairs may come by another way, such as the command, while the page waits: it finds them by itself.
    async function lookAgain() {
      const asked = mode;
      if (queue.length || outbox.length || !ended || !["work", "split"].includes($(".dq-review")?.dataset.mode)) return;
      const reply = visible() && !asking ? await ask({ do: "work" }) : null;
      if (queue.length || asked !== mode) return;
      if (reply && reply.work && reply.work.items.length) return take(reply.work);
      if (reply && reply.work) part("progress").innerHTML = reply.work.progress;
      lookLater();
    }

    let looking = 0;
    function lookLater() {
      clearTimeout(looking);
      looking = setTimeout(lookAgain, LOOK_MS);
    }

    let watched = null, since = 0;
    function clock() { // seconds that a pair was really in view
      const now = performance.now();
      if (watched && since) watched.spent += (now - since) / 1000;
      watched = queue[0];
      since = watched && visible() ? now : 0;
    }

    function choose(choice) {
      const item = queue[0];
      if (!item) return;
      if (choice !== "skip" && item.node.querySelector("[data-rubric=required]") && !typing.isComplete(item.node)) {
        tell(_("Give all eight grades first: they are needed for every vote here."));
        return typing.grade();
      }
      tell("");
      typing.forget();
      clock();
      queue.shift();
      const { rubric, comment } = typing.said(item.node), key = unique();
      done = [...done, { key, item }].slice(-REMEMBERED);
      post({ do: "vote", key, pair: item.pair, showing: item.showing, choice, seconds: item.spent, rubric, comment });
      show();
    }

    function undo() {
      tell("");
      const judged = done.pop();
      if (!judged && !last) return tell(_("There is no vote to take back."));
      if (!judged) return post({ do: "undo", vote: last });
      judged.item.spent = 0;
      queue.unshift(judged.item);
      post({ do: "undo", of: judged.key, vote: judged.vote });
      show();
    }

    async function look() {
      const vote = done.length ? done.at(-1).vote : last;
      if (!vote) return tell(outbox.length ? _("The last vote is not saved yet.") : _("There is no judged pair to look back at."));
      const reply = await ask({ do: "look", vote });
      handle(reply);
      if (reply && reply.parts) $("[data-dialog=look]").showModal();
    }

    // --- how it is shown ------------------------------------------------------------------
    function tell(text, good = false) {
      const line = part("told");
      if (line) Object.assign(line, { textContent: text, className: text ? (good ? "dq-done" : "dq-error") : "" });
    }

    function toast(text, vote) {
      const box = part("toast");
      if (!box) return;
      box.textContent = text;
      for (const [press, key, name] of vote ? [["undo", "u", _("Undo")], ["look", "b", _("Look back")]] : []) {
        const button = document.createElement("button");
        Object.assign(button, { type: "button", className: "dq-quiet", innerHTML: `${name} <kbd>${key}</kbd>` });
        button.dataset.press = press;
        box.append(" ", button);
      }
    }

    function liked() {
      $(".dq-review").classList.toggle("dq-same-words", likes.plain);
      root.querySelectorAll("[data-fold]").forEach((details) => (details.open = !likes.folded));
      hold("likes", likes);
    }

    function toggle(like) {
      likes[like] = !likes[like];
      liked();
    }

    const pressed = {
      undo, look,
      help: () => $("[data-dialog=help]").showModal(),
      fold: () => toggle("folded"),
      differ: () => toggle("plain"),
      correct: () => typing.correct("a"),
      correct_b: () => typing.correct("b"),
      rubric: () => queue[0] && typing.grade(),
      comment: () => queue[0] && queue[0].node.querySelector("[data-comment]").focus(),
      zoom: () => { const frame = queue[0] && queue[0].node.querySelector("[data-zoom]"); if (frame) dermiqZoom.step(frame); },
    };

    async function view(name) {
      typing.keep();
      tell("");
      for (const button of root.querySelectorAll("[data-view]")) button.setAttribute("aria-current", button.dataset.view === name ? "page" : "false");
      const judges = name === "work" || name === "split";
      $(".dq-review").dataset.mode = name;
      part("work").hidden = !judges;
      part("view").hidden = judges;
      queue = [];
      clock();
      if (judges) { [mode, done, last, ended] = [name, [], "", false]; return show(); }
      part("view").innerHTML = '<p class="dq-placeholder" role="status"></p>';
      part("view").firstChild.textContent = _("Counting.");
      handle(await ask({ do: name }));
    }

    function gate(reply) {
      root.innerHTML = reply.sign_in;
      queue = [];
      const field = $("[name=name]");
      if (field && visible()) field.focus({ preventScroll: true });
    }

    function handle(reply, fields) {
      if (!reply) return tell(_("The app does not answer. Try again in a moment."));
      if (reply.token) signedIn(reply, fields);
      if (reply.left) { delete me.token; delete me.name; hold("me", me); }
      if (reply.sign_in !== undefined) return gate(reply);
      if (reply.frame) {
        root.innerHTML = reply.frame;
        [queue, done, mode] = [[], [], "work"];
      }
      for (const [name, html] of Object.entries(reply.parts || {})) part(name).innerHTML = html;
      tell(reply.told || reply.error || reply.later || "", Boolean(reply.told));
      if (reply.download) dermiq.download(reply.download);
      if (reply.train) train(reply.train);
      if (reply.frame && me.name) outbox.take(me.name);
      if (reply.work) take(reply.work);
      if (reply.frame) status(false);
    }

    async function act(button) {
      if (button.dataset.do === "again") return fetchWork();
      const form = button.closest("[data-fields]"), fields = {};
      for (const field of form ? form.querySelectorAll("[name]") : []) fields[field.name] = field.type === "checkbox" ? field.checked : field.value;
      button.disabled = true;
      const long = LONG.includes(button.dataset.do);
      if (long) tell(_("Working on it. With many pairs this takes minutes: the graph is asked about each."), true);
      const reply = await ask({ do: button.dataset.do, value: button.dataset.value || "", fields }, long ? LONG_MS : PATIENCE_MS);
      button.disabled = false;
      handle(reply, fields);
    }

    // Files go as they are, a zip or pairs with their images; what came of it stands where the page speaks.
    async function file(input) {
      const chosen = [...input.files];
      if (!chosen.length) return;
      const size = chosen.reduce((sum, f) => sum + f.size, 0);
      if (size > MAX_SENT) { input.value = ""; return tell(_("These files have {size} MB; the browser can send {most} MB at once. Nothing was put in. The command python -m dermiq review import FILE takes any size.").replace("{size}", Math.ceil(size / 1e6)).replace("{most}", MAX_SENT / 1e6)); }
      tell(_("Reading the files, asking the graph about each pair, drawing the lesions’ borders."), true);
      let files;
      try {
        files = await Promise.all(chosen.map(async (f) => ({ name: f.name, data: await base64(f) })));
      } catch (error) {
        return tell(_("A file cannot be read any more. Choose it again."));
      } finally {
        input.value = ""; // the same file can be chosen again
      }
      handle(await ask({ do: input.dataset.do, files }, LONG_MS));
    }

    const base64 = (file) => new Promise((done, failed) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
      reader.onerror = failed;
      reader.readAsDataURL(file);
    });

    async function open() {
      started = true;
      const reply = await ask({ do: "hello" });
      if (!reply || reply.later) return pause(AGAIN_MS).then(open);
      handle(reply);
    }

    // --- events ---------------------------------------------------------------------------
    root.addEventListener("click", (e) => {
      if (e.detail > 0 && e.target.matches("[data-rubric] input")) return typing.away(); // by pointer: keys vote again
      const button = e.target.closest("button");
      if (!button || button.disabled) return;
      const { choose: choice, press, view: name, correct: what } = button.dataset;
      if (choice) choose(choice);
      else if (press) pressed[press]();
      else if (name) view(name);
      else if (what) typing.correction[what]();
      else if (button.dataset.do) act(button);
    });
    root.addEventListener("change", (e) => {
      if (e.target.name === "correcting") typing.correct(e.target.value);
      else if (e.target.matches("input[type=file][data-do]")) file(e.target);
      else if (e.target.closest(".dq-pair")) typing.draft();
    });
    root.addEventListener("input", (e) => {
      if (e.target.matches("textarea[data-edit]")) typing.check();
      if (e.target.closest(".dq-pair")) typing.draft();
    });

    // Escape leads out of a field, a grade or the editor, back to the pair.
    function leave(from) {
      if (document.querySelector(".dq-card:popover-open")) return;
      if (from.closest("[data-editor]")) typing.correction.close();
      else if (queue[0] && from.closest(".dq-pair")) typing.away();
      else from.blur();
    }

    // The key as its cap says, on keyboards of other scripts too.
    function keyOf(e) {
      const digit = /^(?:Digit|Numpad)([1-4])$/.exec(e.code);
      if (digit && !e.shiftKey) return digit[1];
      return e.key.length === 1 && e.key > "\u007f" && /^Key/.test(e.code) ? e.code.slice(3).toLowerCase() : e.key;
    }

    document.addEventListener("keydown", (e) => {
      if (!visible() || e.repeat || e.defaultPrevented || $("dialog[open]")) return;
      const from = e.target, working = $("[data-mode=work], [data-mode=split]");
      if (e.key === "Enter" && from.matches("[data-enter] input")) return act(from.closest("[data-enter]").querySelector("[data-do]"));
      if (e.key === "Enter" && e.ctrlKey && from.closest("[data-editor]")) return typing.correction.save();
      if (e.ctrlKey || e.metaKey || e.altKey || !working) return;
      if (e.key === "Escape" && root.contains(from)) return leave(from);
      const grading = from.matches("[data-rubric] input") && /^[1-5]$/.test(e.key);
      if (grading) { e.preventDefault(); return typing.digit(from, e.key); }
      if (from.matches(FIELDS) || from.matches("input")) return;
      const key = keyOf(e);
      const choice = KEYS[key] || (mode === "split" && !from.matches(".dq-zoomed") && ARROWS[key]);
      if (!choice && !LETTERS[key]) return;
      e.preventDefault();
      choice ? choose(choice) : pressed[LETTERS[key]]();
    });
    document.addEventListener("visibilitychange", () => {
      clock();
      if (document.visibilityState === "hidden") typing.keep();
    });
    new IntersectionObserver(() => {
      clock();
      if (!started && visible()) open();
      if (document.visibilityState === "visible" && started) hold("here", visible() || outbox.length > 0); // page.js goes on
    }).observe(element);
  }

  return { mount };
})();
