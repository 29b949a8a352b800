// What the Review tab has sent and what was not acknowledged yet. An entry stays in the browser's own storage until the
// app says that it is stored; it has a key of its own, so that sending it twice is one change. Entries go one at a time,
// in the order in which they were made.
window.dermiqOutbox = window.dermiqOutbox || (() => {
  "use strict";
  const PREFIX = "dermiq-review:unsent:";
  const RETRY_MS = 400, SLOWEST_MS = 5000;
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  // One item for each entry, so that two windows never write over each other's.
  const keep = (entry) => localStorage.setItem(PREFIX + entry.key, JSON.stringify(entry));
  const drop = (entry) => localStorage.removeItem(PREFIX + entry.key);
  const kept = (who) =>
    Object.keys(localStorage).filter((key) => key.startsWith(PREFIX)).map((key) => JSON.parse(localStorage.getItem(key)))
      .filter((entry) => entry.who === who).sort((a, b) => a.at - b.at);

  // `send(entry)`: the app's reply; null where it does not answer, {later} where it may be tried again, {out} where
  // nobody is signed in. `settled(entry, reply)` hears of all others, `changed(lost)` of everything.
  return (send, settled, changed) => {
    let entries = [], pumping = false, lost = false; // lost: the app did not answer the last time

    async function pump() {
      if (pumping) return;
      pumping = true;
      for (let wait = RETRY_MS; entries.length; ) {
        const entry = entries[0], reply = await send(entry);
        if (reply && reply.out) break;
        if (!reply || reply.later) {
          lost = true;
          changed(lost);
          await pause(wait);
          wait = Math.min(2 * wait, SLOWEST_MS);
          continue;
        }
        [wait, lost] = [RETRY_MS, false];
        entries = entries.filter((e) => e !== entry);
        drop(entry);
        settled(entry, reply);
        changed(lost);
      }
      pumping = false;
    }

    return {
      post(entry) {
        const at = Math.max(Date.now(), (entries.at(-1)?.at ?? 0) + 1); // also where the clock was set back meanwhile
        entries.push({ at, ...entry });
        keep(entries.at(-1));
        changed(lost);
        pump();
      },
      // What this reviewer left here when the page was closed or the app was gone.
      take(who) {
        entries = kept(who);
        pump();
      },
      // A vote is stored under this id now, or was refused: what takes it back learns that.
      stored(key, vote) {
        for (const entry of entries.filter((e) => e.of === key)) keep(Object.assign(entry, { vote }));
      },
      refused(key) {
        entries.filter((e) => e.of === key).forEach(drop);
        entries = entries.filter((e) => e.of !== key);
      },
      votes: () => entries.filter((e) => e.do === "vote"),
      get length() { return entries.length; },
    };
  };
})();
