// What the page does in the browser: keeps its content up to date without losing focus or open parts,
// sends what was typed into a form, takes files (chosen, dropped, pasted, photographed), copies, downloads. Sends
// nothing elsewhere.
window.dermiq = window.dermiq || (() => {
  "use strict";
  const told = window.dermiqTexts || { language: "en", texts: {} }; // English, where the page brought no other language
  const _ = (text) => told.texts[text] || text;
  const MB = 1024 * 1024;
  const MAX_BYTES = 25 * MB, MAX_FILES = 12, MAX_TOTAL = 150 * MB; // of an upload, as the server takes it

  // --- updating ---------------------------------------------------------------------------
  const keyOf = (node) => (node.nodeType === 1 ? node.id || node.dataset.key || "" : "");
  const kindOf = (node) => (node.nodeType === 1 ? node.nodeName + "." + (node.classList[0] || "") : node.nodeName);
  const same = (a, b) => kindOf(a) === kindOf(b) && keyOf(a) === keyOf(b);

  function following(node, key) {
    for (let n = node; n; n = n.nextSibling) if (keyOf(n) === key) return n;
    return null;
  }

  function children(from, to) {
    let old = from.firstChild;
    for (const fresh of [...to.childNodes]) {
      const key = keyOf(fresh);
      const match = key && following(old, key);
      while (match && old !== match) {
        const next = old.nextSibling;
        old.remove();
        old = next;
      }
      if (old && same(old, fresh)) {
        update(old, fresh);
        old = old.nextSibling;
      } else {
        from.insertBefore(fresh, old);
      }
    }
    while (old) {
      const next = old.nextSibling;
      old.remove();
      old = next;
    }
  }

  // A form's fields ([name] inside [data-fields]) belong to the visitor: a text that is still being typed, or on its
  // way to the server, stays until the server itself says something else than it did.
  const isField = (node) => Boolean(node.name && node.closest("[data-fields]"));
  const current = (field) => (field.type === "checkbox" ? field.checked : field.value);

  function given(field) {
    if (field.type === "checkbox") return field.hasAttribute("checked");
    if (field.nodeName === "SELECT") return ([...field.options].find((o) => o.hasAttribute("selected")) || field).value;
    return field.defaultValue;
  }

  function put(field, value) {
    if (current(field) === value) return;
    const at = field.selectionStart;
    field[field.type === "checkbox" ? "checked" : "value"] = value;
    if (field === document.activeElement && at != null) field.setSelectionRange(at, at);
  }

  function settled(field, before) {
    const now = given(field);
    const typing = field === document.activeElement && before.current !== before.given;
    put(field, now === before.given || typing ? before.current : now);
    if (field.nodeName === "SELECT" && field.selectedIndex < 0) field.value = now; // the choice is no longer there
  }

  function fieldsOf(target) {
    const form = target.closest("[data-fields]");
    if (!form) return undefined;
    const fields = {};
    for (const field of form.querySelectorAll("[name]")) {
      const changed = current(field) !== given(field);
      if (changed || field.nodeName !== "TEXTAREA") fields[field.name] = String(current(field));
    }
    return fields;
  }

  function update(old, fresh) {
    if (old.nodeType !== 1) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    const details = old.nodeName === "DETAILS";
    const reopen = details && old.dataset.open !== fresh.dataset.open;
    const keeps = (name) => (details && name === "open") || (name === "style" && old.hasAttribute("popover"));
    const before = isField(old) && { current: current(old), given: given(old) };
    for (const { name } of [...old.attributes]) if (!keeps(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of [...fresh.attributes])
      if (!keeps(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
    if (reopen) old.open = fresh.hasAttribute("open"); // the visitor's own choice stays otherwise
    children(old, fresh);
    if (before) return settled(old, before);
    if (old.nodeName === "INPUT") old.checked = fresh.hasAttribute("checked");
    if (old.nodeName === "SELECT") {
      const chosen = [...old.options].findIndex((o) => o.hasAttribute("selected"));
      if (chosen >= 0) old.selectedIndex = chosen;
    }
  }

  function draw(root, html) {
    const chat = root.querySelector(".dq-chat");
    const atEnd = !chat || chat.scrollHeight - chat.scrollTop - chat.clientHeight < 80;
    const turns = root.querySelectorAll(".dq-turn").length;
    const asked = root.querySelector("[data-escape]");
    const held = heldIn(root);
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    children(root, fresh.content);
    const now = root.querySelector(".dq-chat");
    if (now && (atEnd || root.querySelectorAll(".dq-turn").length > turns)) now.scrollTop = now.scrollHeight;
    const to = root.querySelector("[data-arrive]");
    const mark = to ? to.dataset.arrive : "";
    if (mark && root.dataset.arrived !== mark) goTo(root, mark);
    root.dataset.arrived = mark;
    const asks = root.querySelector("[data-escape]");
    if (asks && !asked) asker = pressed;
    if (asked && !asks) goBack();
    else if (held) goOnFrom(held, root);
    const out = root.querySelector("[data-download]");
    if (out) download(JSON.parse(out.dataset.download));
  }

  // What has just come about, such as a run that was started, is brought into view and gets the focus, once.
  function goTo(root, mark) {
    settle(() => {
      const to = root.querySelector("[data-arrive]");
      if (!to || to.dataset.arrive !== mark) return true;
      if (!to.offsetParent) return false;
      to.focus({ preventScroll: true });
      to.scrollIntoView({ block: "start" });
      return document.activeElement === to;
    });
  }

  // A dialog that closed gives the focus back to the button that opened it, unless the focus went elsewhere.
  let pressed = null;
  let asker = null;
  function goBack() {
    settle(() => {
      if (!asker || !asker.isConnected || document.activeElement !== document.body) return true;
      asker.focus();
      return document.activeElement === asker;
    });
  }

  // Who works by keys and pressed what is now gone or switched off goes on at what came for it ([data-next]), else at the
  // part's first control, or, where there is none, in the conversation.
  const CONTROLS = "a[href], button:enabled, input:enabled, select:enabled, textarea:enabled, summary, [tabindex='0']";
  const first = (part) => part && [...part.querySelectorAll(CONTROLS)].find((e) => e.checkVisibility());
  const isLost = (held) => [held, document.body].includes(document.activeElement) && (!held.checkVisibility() || held.disabled);

  function heldIn(root) {
    const held = document.activeElement;
    return held && root.contains(held) && held.matches(":focus-visible") ? held : null;
  }

  function goOnFrom(held, root) {
    settle(() => {
      if (!isLost(held)) return true;
      const to = root.querySelector("[data-next]") || first(root) || first(document.getElementById("dq-chat"));
      if (to) to.focus();
      return Boolean(to);
    });
  }

  // Buttons that stand in for each other hand the focus on. After Stop comes the next question; after Cancel not Start,
  // which a second press would set off.
  const NEXT = {
    "dq-send": "#dq-stop", "dq-stop": "#dq-question textarea",
    "dqf-start": "#dqf-cancel", "dqf-estimate": "#dqf-cancel", "dqf-cancel": "#dqf-estimate",
  };
  document.addEventListener("focusin", (e) => {
    const held = e.target, next = NEXT[held.id];
    if (!next) return;
    const watch = new MutationObserver(() => {
      const to = document.querySelector(next);
      if (!isLost(held)) return document.activeElement === held || watch.disconnect();
      if (to && to.checkVisibility()) to.focus();
    });
    watch.observe(held.closest("#dq-ask, #dq-launch"), { childList: true, subtree: true, attributes: true });
  });

  // Tabs are gone through by the arrow keys, too.
  document.addEventListener("keydown", (e) => {
    const list = e.target.matches("[role=tab]") && e.target.closest("[role=tablist]");
    const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (!list || !step) return;
    const tabs = [...list.querySelectorAll("[role=tab]")].filter((tab) => tab.checkVisibility());
    tabs.at((tabs.indexOf(e.target) + step) % tabs.length).focus();
  });

  function mount(element, props, watch, trigger, names) {
    const root = element.querySelector(".dq-root");
    const redraw = () => draw(root, props.value || "");
    const fire = (target, value) => {
      const { event, index, text } = target.dataset;
      const own = target.type === "checkbox" ? String(target.checked) : target.value;
      if (names.includes(event)) trigger(event, { index: index, value: value ?? text ?? own, fields: fieldsOf(target) });
    };
    watch("value", redraw);
    redraw();
    goOn();
    element.addEventListener("click", (e) => {
      const button = e.target.closest("button[data-event]");
      if (!button || button.disabled) return;
      pressed = button;
      fire(button);
    });
    element.addEventListener("change", (e) => {
      if (e.target.matches(":is(select, input, textarea)[data-event]")) fire(e.target);
    });
  }

  // The page reloads itself when the app was started anew. A reviewer then goes on where they were, and votes that wait
  // are sent: a tab that was not opened runs no script.
  let wentOn = false;
  function goOn() {
    const tab = document.getElementById("dq-review-tab-button");
    if (wentOn || !tab) return;
    wentOn = true;
    if (sessionStorage.getItem("dermiq-review:here") === "true") tab.click();
  }

  // Escape in a dialog of the page does what its Cancel does.
  document.addEventListener("keydown", (e) => {
    const dialog = e.key === "Escape" && e.target.closest("[data-escape]");
    const button = dialog && dialog.querySelector(`[data-event="${dialog.dataset.escape}"]`);
    if (button) button.click();
  });

  // A field that is to be corrected is gone to by its link.
  document.addEventListener("click", (e) => {
    const way = e.target.closest('a[href^="#dqf-"]');
    const field = way && document.querySelector(way.hash)?.querySelector("input, textarea");
    if (!field) return;
    e.preventDefault();
    field.focus();
  });

  // Enter in a field does what the button beside it does, where there is just one.
  document.addEventListener("keydown", (e) => {
    const form = e.key === "Enter" && e.target.matches("input") && e.target.closest("[data-enter]");
    const button = form && form.querySelector("button[data-event]");
    if (button && !button.disabled) button.click();
  });

  // --- files ------------------------------------------------------------------------------
  const say = (text) => {
    const zone = document.querySelector("#dq-viewer [data-drop]");
    if (!zone) return;
    const line = document.createElement("p");
    line.className = "dq-error";
    line.setAttribute("role", "alert");
    line.textContent = text;
    zone.querySelectorAll(".dq-error").forEach((e) => e.remove());
    zone.append(line);
  };

  function take(files) {
    const images = [...files].filter((f) => f.size > 0);
    if (images.length < files.length || !images.length) return say(_("This file is empty. Choose an image file."));
    if (images.some((f) => f.size > MAX_BYTES)) return say(_("This file is larger than 25 MB. Export the image smaller and try again."));
    if (images.length > MAX_FILES) return say(_("At most {n} files can be uploaded at once. Choose fewer.").replace("{n}", MAX_FILES));
    if (images.reduce((sum, f) => sum + f.size, 0) > MAX_TOTAL) return say(_("The files are larger than 150 MB together. Choose fewer."));
    const input = document.querySelector("#dq-upload input[type=file]");
    if (!input) return say(_("The page is still loading. Try again in a moment."));
    const box = new DataTransfer();
    images.forEach((f, i) => {
      const ending = /\.[A-Za-z0-9]{1,5}$/.exec(f.name); // the name itself may name a patient: it is not sent
      box.items.add(new File([f], `image-${i + 1}${ending ? ending[0].toLowerCase() : ""}`, { type: f.type }));
    });
    input.files = box.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    document.querySelectorAll("#dq-viewer [data-drop]").forEach((zone) => (zone.dataset.busy = "yes"));
    untilRefused();
  }

  // An upload that the server refuses ends in gradio's own message alone. What it says goes where the images would be.
  function untilRefused() {
    const messages = () => [...document.querySelectorAll('.error [data-testid="toast-text"]')];
    const before = messages();
    const watch = new MutationObserver(() => {
      const busy = document.querySelectorAll("#dq-viewer [data-busy]");
      const told = messages().find((message) => !before.includes(message));
      if (busy.length && !told) return;
      watch.disconnect();
      busy.forEach((zone) => delete zone.dataset.busy);
      if (busy.length) say(told.textContent.replace(/^HTTP \d+: /, ""));
    });
    watch.observe(document.body, { childList: true, subtree: true });
  }

  function picker(id, capture) {
    let input = document.getElementById(id);
    if (!input) {
      input = document.createElement("input");
      Object.assign(input, { type: "file", id, multiple: !capture, accept: "image/*,.heic,.heif,.hif,.jfif,.tif,.tiff,.bmp", hidden: true });
      input.setAttribute("aria-label", _("Image files"));
      if (capture) input.setAttribute("capture", "environment");
      input.addEventListener("change", () => {
        if (input.files.length) take(input.files);
        input.value = "";
      });
      document.body.append(input);
    }
    return input;
  }

  async function camera() {
    if (matchMedia("(pointer: coarse)").matches || !navigator.mediaDevices) return picker("dq-capture", true).click();
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1920 } } });
    } catch (error) {
      return say(_("No camera could be opened. Allow it in the browser, or choose a file."));
    }
    const dialog = document.createElement("dialog");
    dialog.className = "dq-camera";
    dialog.setAttribute("aria-label", _("Camera"));
    dialog.innerHTML =
      '<video autoplay playsinline muted></video><p><button type="button" class="dq-button dq-primary"></button>' +
      '<button type="button" class="dq-button"></button></p>';
    const video = dialog.querySelector("video");
    const [shoot, cancel] = dialog.querySelectorAll("button");
    shoot.textContent = _("Take picture");
    cancel.textContent = _("Cancel");
    video.srcObject = stream;
    dialog.addEventListener("close", () => {
      stream.getTracks().forEach((t) => t.stop());
      dialog.remove();
    });
    cancel.addEventListener("click", () => dialog.close());
    shoot.addEventListener("click", () => {
      const canvas = document.createElement("canvas");
      Object.assign(canvas, { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob((blob) => take([new File([blob], "image.png", { type: "image/png" })]), "image/png");
      dialog.close();
    });
    document.body.append(dialog);
    dialog.showModal();
  }

  function download({ name, type, data }) {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const url = URL.createObjectURL(new Blob([bytes], { type }));
    const link = document.createElement("a");
    Object.assign(link, { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  async function copy(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch (error) {
      const area = document.createElement("textarea"); // without a secure address there is no clipboard object
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    const name = button.textContent;
    button.textContent = _("Copied");
    setTimeout(() => (button.textContent = name), 1600);
  }

  const TOO_LARGE = _("This file is larger than 25 MB, which is more than this page takes. Nothing was stored. Put the data on the computer that runs this page, and name the path of the table.");
  const LOST = _("The upload did not arrive: the connection was interrupted. Nothing was stored. Choose the file again.");

  // An upload for training that the app would refuse unread, or that did not reach it, is said beside the field, too.
  function sayOwn(text) {
    const place = document.querySelector("#dq-own-said .dq-root");
    if (!place) return;
    const line = document.createElement("p");
    Object.assign(line, { className: "dq-error", textContent: text });
    line.setAttribute("role", "alert");
    place.replaceChildren(line);
  }

  function ownFiles(e, files) {
    if (!files || !files.length || !e.target.closest("#dq-own-data")) return;
    const size = Math.max(...[...files].map((f) => f.size));
    const wrong =
      files.length > 1 ? _("Choose one file: a zip of the table and its images. Nothing was stored.")
      : size > MAX_BYTES ? TOO_LARGE
      : size === 0 ? _("This file is empty. Nothing was stored.")
      : "";
    if (wrong) {
      e.preventDefault();
      e.stopImmediatePropagation();
      if (e.target.matches("input")) e.target.value = "";
      return sayOwn(wrong);
    }
    watchOwn();
  }

  // The field hands a file to the app by itself: whether that fails is seen at the request alone.
  let expected = false, send = null;
  function watchOwn() {
    expected = true;
    if (send) return;
    send = window.fetch;
    window.fetch = async (...asked) => {
      const address = String((asked[0] && asked[0].url) || asked[0]);
      if (!expected || !/\/upload(\?|$)/.test(address)) return send(...asked);
      expected = false;
      try {
        const reply = await send(...asked);
        if (reply.status === 413) sayOwn(TOO_LARGE);
        else if (!reply.ok) sayOwn(LOST);
        return reply;
      } catch (error) {
        sayOwn(LOST);
        throw error;
      }
    };
  }

  // --- the whole document -----------------------------------------------------------------
  let opener = null;
  let left = null; // where in the consultation the visitor was: {from, y}

  // The button that leads on; inside a card, which closes, what had opened it.
  const leave = (button) => (left = { from: button.closest(".dq-card") ? opener : button, y: scrollY });

  // A tab that comes into view is laid out over several frames: try until it holds, for two seconds at most.
  function settle(holds, until = performance.now() + 2000) {
    if (!holds() && performance.now() < until) requestAnimationFrame(() => settle(holds, until));
  }

  function arrive() {
    settle(() => {
      const title = document.querySelector("#dq-knowledge h2[tabindex]");
      if (!title || !title.offsetParent) return false;
      scrollTo(0, 0);
      title.focus({ preventScroll: true });
      return document.activeElement === title;
    });
  }

  function comeBack() {
    if (!left) return;
    settle(() => {
      const { from, y } = left;
      if (from && from.isConnected) from.focus({ preventScroll: true });
      scrollTo(0, y);
      return Math.abs(scrollY - y) < 2 && (!from || !from.isConnected || document.activeElement === from);
    });
  }

  const hasFiles = (e) => e.dataTransfer && [...e.dataTransfer.types].includes("Files");
  const mark = (on) => document.querySelectorAll("[data-drop]").forEach((z) => z.classList.toggle("dq-over", on));

  document.addEventListener("click", (e) => {
    const onward = e.target.closest("#dq-chat [data-event=open], #dq-panels :is([data-event=open], [data-event=versus])");
    if (onward) return leave(onward);
    const target = e.target.closest("[data-pick],[data-camera],[data-copy],[popovertarget]");
    if (!target) return;
    if (target.hasAttribute("popovertarget")) opener = target;
    else if (target.hasAttribute("data-pick")) picker("dq-pick", false).click();
    else if (target.hasAttribute("data-camera")) camera();
    else copy(target);
  }, true);
  // What is suggested goes when it has served: looked up, Escape, or the focus elsewhere. Typing brings it back.
  const served = (yes) => (document.documentElement.dataset.meant = yes ? "served" : "");
  document.addEventListener("input", (e) => { if (e.target.closest("#dq-search")) served(false); });
  document.addEventListener("keydown", (e) => {
    if (e.key === "Enter" ? e.target.closest("#dq-search") : e.key === "Escape") served(true);
  });
  document.addEventListener("click", (e) => { if (e.target.closest("#dq-look-up")) served(true); });
  document.addEventListener("focusin", (e) => { if (!e.target.closest("#dq-search, #dq-meant")) served(true); });
  // Gradio leaves a list open, over the fields below it, when the focus moves on by Tab. Escape closes it.
  document.addEventListener("focusout", (e) => {
    const field = e.target;
    if (!field.matches('input[role="combobox"]')) return;
    setTimeout(() => {
      if (field.getAttribute("aria-expanded") !== "true" || document.activeElement === field) return;
      field.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    });
  });
  document.addEventListener("change", (e) => { if (e.target.matches("input[type=file]")) ownFiles(e, e.target.files); }, true);
  document.addEventListener("drop", (e) => ownFiles(e, e.dataTransfer && e.dataTransfer.files), true);
  document.addEventListener("dragover", (e) => { if (hasFiles(e)) { e.preventDefault(); mark(true); } });
  document.addEventListener("dragleave", (e) => { if (!e.relatedTarget) mark(false); });
  document.addEventListener("drop", (e) => {
    if (!hasFiles(e) || e.target.closest("#dq-own-data, #dqf-load")) return; // these fields take their own
    e.preventDefault();
    mark(false);
    take(e.dataTransfer.files);
  });
  document.addEventListener("paste", (e) => {
    const files = e.clipboardData ? [...e.clipboardData.files].filter((f) => f.type.startsWith("image/")) : [];
    if (files.length) { e.preventDefault(); take(files); }
  });
  document.addEventListener("toggle", (e) => {
    if (!(e.target instanceof HTMLElement) || !e.target.matches(".dq-card") || e.newState !== "open" || !opener) return;
    place(e.target);
    e.target.focus({ preventScroll: true }); // it is read out, and gives the focus back when it closes
  }, true);
  addEventListener("resize", () => {
    const card = opener && document.querySelector(".dq-card:popover-open");
    if (card) place(card);
  });
  function place(card) {
    const at = opener.getBoundingClientRect(), size = card.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.left - 24), innerWidth - size.width - 8);
    const below = at.bottom + 6 + size.height < innerHeight;
    const top = Math.min(below ? at.bottom + 6 : at.top - size.height - 6, innerHeight - size.height - 8);
    Object.assign(card.style, { left: `${Math.max(8, left)}px`, top: `${Math.max(8, top)}px` });
  }
  addEventListener("DOMContentLoaded", () => picker("dq-pick", false));
  if (document.body) picker("dq-pick", false);
  document.documentElement.lang = told.language;

  return { mount, take, arrive, comeBack, download, text: _ };
})();
