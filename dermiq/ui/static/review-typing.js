// What is typed about a pair in the Review tab: grades, a comment, a corrected answer. Drafts go to the app after a pause.
window.dermiqTyping = window.dermiqTyping || (() => {
  "use strict";
  const DRAFT_MS = 400, CHECK_MS = 350, AGAIN_MS = 3000, TRIES = 8;

  // `item()`: the pair on the screen; `ask(message)`: the app's reply or null; `save(entry)` sends until it is stored.
  return ({ item, ask, save, tell }) => {
    let drafting = Promise.resolve(), draftTimer = 0, checkTimer = 0, checks = 0;
    const section = () => item().node.querySelector("section");
    const away = () => section().focus({ preventScroll: true });
    const editor = () => item() && item().node.querySelector("[data-editor]");
    const areas = () => [...editor().querySelectorAll("textarea[data-edit]")];
    const current = () => areas().find((area) => !area.hidden);

    function said(node) {
      const rubric = {}, texts = {};
      for (const radio of node.querySelectorAll("[data-rubric] :checked")) {
        const [, side, name] = /^(a|b)-(\w+)$/.exec(radio.name);
        (rubric[side] = rubric[side] || {})[name] = Number(radio.value);
      }
      for (const area of node.querySelectorAll("textarea[data-edit]"))
        if (area.value !== area.dataset.text) texts[area.dataset.edit] = area.value;
      return { rubric, texts, comment: node.querySelector("[data-comment]").value };
    }

    // --- drafts ---------------------------------------------------------------------------
    function draft() {
      clearTimeout(draftTimer);
      draftTimer = setTimeout(keep, DRAFT_MS);
    }

    function keep() {
      const pending = draftTimer;
      forget();
      if (!pending || !item()) return;
      drafting = ask({ do: "draft", showing: item().showing, ...said(item().node) }).then((reply) => {
        if (!reply || reply.later) draft();
      });
    }

    function forget() {
      clearTimeout(draftTimer);
      draftTimer = 0;
    }

    // --- a corrected answer ---------------------------------------------------------------
    function correct(side) {
      if (!editor()) return;
      editor().hidden = false;
      for (const area of areas()) area.hidden = area.dataset.edit !== side;
      editor().querySelector(`[name=correcting][value=${side}]`).checked = true;
      current().focus();
      current().setSelectionRange(0, 0);
      editor().scrollIntoView({ block: "nearest" });
      check();
    }

    function check(wait = CHECK_MS, tries = TRIES) {
      clearTimeout(checkTimer);
      checkTimer = setTimeout(async () => {
        const box = editor(), number = ++checks;
        if (!box || box.hidden) return;
        const reply = await ask({ do: "check", showing: item().showing, side: current().dataset.edit, text: current().value });
        if (number !== checks) return; // something newer was asked
        // a first check loads the judge and may outlast our patience
        if (!reply || reply.later) return tries > 1 ? check(AGAIN_MS, tries - 1) : tell(dermiq.text("The graph could not be asked. Change the text to try again."));
        if (reply.marks) box.querySelector("[data-marks]").innerHTML = reply.marks;
        if (reply.error) tell(reply.error);
      }, wait);
    }

    function reset() {
      current().value = current().dataset.text;
      check();
      draft();
    }

    function saveCorrection() {
      const { edit, text } = current().dataset, article = section().querySelector(`article[data-side=${edit}]`);
      const same = current().value.trim() === text.trim();
      if (same && !article.dataset.corrected) return tell(dermiq.text("Nothing was changed in the answer. Change it, or close the field."));
      tell("");
      save({ do: "edit", showing: item().showing, side: edit, text: current().value });
      article.toggleAttribute("data-corrected", !same);
      if (!same) article.dataset.corrected = "yes";
      close();
    }

    function close() {
      editor().hidden = true;
      away();
    }

    // --- grades ---------------------------------------------------------------------------
    const groups = (box) => [...box.querySelectorAll("[role=radiogroup]")];
    const enter = (group) => (group.querySelector(":checked") || group.querySelector("input")).focus();
    const isComplete = (node) => groups(node.querySelector("[data-rubric]")).every((g) => g.querySelector(":checked"));

    function grade() {
      const box = item().node.querySelector("[data-rubric]");
      box.open = true;
      enter(groups(box).find((g) => !g.querySelector(":checked")) || groups(box)[0]);
      box.scrollIntoView({ block: "nearest" });
    }

    function digit(radio, key) {
      const all = groups(radio.closest("[data-rubric]")), group = radio.closest("[role=radiogroup]");
      group.querySelector(`input[value="${key}"]`).checked = true;
      draft();
      const next = all[all.indexOf(group) + 1];
      if (next) enter(next);
      else away();
    }

    const correction = { save: saveCorrection, close, reset };
    return { said, draft, keep, forget, done: () => drafting, correct, check, correction, grade, digit, isComplete, away };
  };
})();
