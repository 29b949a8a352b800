// An image that is zoomed by a key, a click or a tap, and then moved by keys or by dragging.
window.dermiqZoom = window.dermiqZoom || (() => {
  "use strict";
  const SCALES = [1, 2, 4], STEP = 0.1;

  function place(frame, scale, x, y) {
    const most = 1 - 1 / scale; // so that the image still fills the frame
    const at = { scale, x: Math.min(Math.max(x, 0), most), y: Math.min(Math.max(y, 0), most) };
    frame.dermiqAt = at;
    frame.classList.toggle("dq-zoomed", scale > 1);
    frame.firstElementChild.style.transform = scale > 1 ? `scale(${scale}) translate(${-100 * at.x}%, ${-100 * at.y}%)` : "";
  }

  const now = (frame) => frame.dermiqAt || { scale: 1, x: 0, y: 0 };

  // The next scale, around a point of the frame (0 to 1).
  function step(frame, px = 0.5, py = 0.5) {
    const { scale, x, y } = now(frame);
    const next = SCALES[(SCALES.indexOf(scale) + 1) % SCALES.length];
    place(frame, next, x + px / scale - px / next, y + py / scale - py / next);
    frame.focus({ preventScroll: true });
  }

  document.addEventListener("keydown", (e) => {
    const frame = e.target.closest && e.target.closest("[data-zoom]");
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
    if (!frame || !move || now(frame).scale === 1) return;
    e.preventDefault();
    const { scale, x, y } = now(frame);
    place(frame, scale, x + (move[0] * STEP * 2) / scale, y + (move[1] * STEP * 2) / scale);
  });

  let drag = null;
  document.addEventListener("pointerdown", (e) => {
    const frame = e.target.closest && e.target.closest("[data-zoom]");
    if (frame) drag = { frame, x: e.clientX, y: e.clientY, at: now(frame), moved: false };
  });
  document.addEventListener("pointermove", (e) => {
    if (!drag || !e.buttons) return;
    const box = drag.frame.getBoundingClientRect(), [dx, dy] = [e.clientX - drag.x, e.clientY - drag.y];
    drag.moved = drag.moved || Math.hypot(dx, dy) > 6;
    const { scale, x, y } = drag.at;
    if (drag.moved && scale > 1) place(drag.frame, scale, x - dx / box.width / scale, y - dy / box.height / scale);
  });
  document.addEventListener("pointerup", (e) => {
    if (!drag) return;
    const { frame, moved } = drag, box = frame.getBoundingClientRect();
    drag = null;
    if (!moved && frame.contains(e.target)) step(frame, (e.clientX - box.left) / box.width, (e.clientY - box.top) / box.height);
  });

  return { step };
})();
