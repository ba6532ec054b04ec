// The developer's lab follows a payment: it asks whether there is something new, and shows the page anew when there is.
// Without it the page has a Refresh button.
"use strict";

const SHORTEST_MS = 1000;
const LONGEST_MS = 8000;

const follow = document.getElementById("follow");
let pause = SHORTEST_MS;

/** Whether somebody reads or does something here that a new page would take away. */
function isInUse() {
  return document.activeElement !== document.body || !getSelection().isCollapsed;
}

async function ask() {
  let isNew = false;
  if (!document.hidden) {
    try {
      const reply = await fetch(follow.dataset.ask, { headers: { Accept: "application/json" }, cache: "no-store" });
      isNew = reply.ok && (await reply.json()).mark !== follow.dataset.mark;
    } catch {
      // The server is away: asking again is all there is to do.
    }
  }
  if (isNew && !isInUse()) {
    location.reload();
    return;
  }
  document.getElementById("news").hidden = !isNew;
  pause = Math.min(pause * 1.1, LONGEST_MS);
  setTimeout(ask, isNew ? SHORTEST_MS : pause);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = button.dataset.copied;
  });
}
setTimeout(ask, pause);
