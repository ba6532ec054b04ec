// Comfort only: every page works without this file.

// Show the total of the ticked invoices on the button.
for (const form of document.querySelectorAll("form[data-sum]")) {
  const place = form.querySelector("[data-total]");
  const boxes = form.querySelectorAll("input[data-cents]");
  const euros = new Intl.NumberFormat("fr-FR", { style: "currency", currency: "EUR" });
  const number = form.querySelector("[data-count]");
  const wrap = place?.textContent ? (sum) => ` : ${sum}` : (sum) => ` (${sum})`;
  const show = () => {
    const ticked = [...boxes].filter((box) => box.checked);
    const cents = ticked.reduce((sum, box) => sum + Number(box.dataset.cents), 0);
    if (place) place.textContent = cents ? wrap(euros.format(cents / 100)) : "";
    if (number) number.textContent = ` : ${ticked.length}`;
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

// A form that only carries the payer further.
document.querySelector("form[data-go]")?.submit();

// Windows of the size the treasury's page was made for. A blocked one becomes a tab, as without this file.
for (const opener of document.querySelectorAll("[data-popup]")) {
  const [width, height] = opener.dataset.popup.split(",");
  // Without an opener the browser would not find the window by its name; it is cut off right after.
  opener.removeAttribute("rel");
  opener.addEventListener(opener.tagName === "FORM" ? "submit" : "click", () => {
    const opened = window.open("", opener.target, `popup,width=${width},height=${height}`);
    if (opened) opened.opener = null;
    if (opener.dataset.then) setTimeout(() => location.assign(opener.dataset.then), 800);
  });
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}
