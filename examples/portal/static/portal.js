// Comfort only: every page works without this file.

// Show the total of the ticked invoices on the button.
for (const form of document.querySelectorAll("form[data-sum]")) {
  const place = form.querySelector("[data-total]");
  const boxes = form.querySelectorAll("input[data-cents]");
  const euros = new Intl.NumberFormat("fr-FR", { style: "currency", currency: "EUR" });
  const show = () => {
    let cents = 0;
    for (const box of boxes) if (box.checked) cents += Number(box.dataset.cents);
    if (place) place.textContent = cents ? ` (${euros.format(cents / 100)})` : "";
  };
  form.addEventListener("change", show);
  show();
}

// Look for the confirmation for a minute, ever less often; afterwards the refresh link remains.
const watched = document.querySelector("[data-watch]");
if (watched) {
  const endsAt = Date.now() + 60000;
  const look = async (delay) => {
    try {
      const answer = await fetch(watched.dataset.watch, { cache: "no-store" });
      if (answer.ok && (await answer.json()).state !== "pending") return location.reload();
    } catch {
      // The network may come back: the next look tells.
    }
    if (Date.now() + delay < endsAt) setTimeout(look, delay, delay * 1.3);
  };
  setTimeout(look, 1000, 1500);
}
