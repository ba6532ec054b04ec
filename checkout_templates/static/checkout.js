// What makes the payer's pages smoother. Everything works without it: the server checks, groups and decides.
// No text is written as markup (trusted types), nothing is stored, and only this server is asked.
"use strict";

const main = document.querySelector("main");
const live = document.getElementById("live");

/** Say something politely to screen readers. */
function announce(text) {
  live.textContent = text;
}

/** Replace the places of a translated sentence: fill("{n} min", { n: 5 }). */
function fill(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Read digits however they were typed or pasted: full-width ones too (Unicode NFKC), whatever stands between them. */
function digitsOf(text) {
  return text.normalize("NFKC").replace(/\D/g, "");
}

/* Typing: digits in groups, the caret where the payer left it. */

function group(digits) {
  const sizes = /^3[47]/.test(digits) ? [4, 6, 5] : [4, 4, 4, 4, 3];
  const groups = [];
  let at = 0;
  for (const size of sizes) {
    if (at < digits.length) groups.push(digits.slice(at, at + size));
    at += size;
  }
  return groups.join(" ");
}

/** Where the caret stands once `count` digits are before it. */
function placeAfter(text, count) {
  let place = 0;
  for (let seen = 0; seen < count && place < text.length; place += 1) {
    if (/\d/.test(text[place])) seen += 1;
  }
  return place;
}

function regroup(input) {
  const before = digitsOf(input.value.slice(0, input.selectionStart)).length;
  const digits = digitsOf(input.value);
  if (digits.length > 19) return; // Not a card number: leave it for the server to explain.
  const text = group(digits);
  if (text === input.value) return;
  input.value = text;
  const caret = placeAfter(text, before);
  input.setSelectionRange(caret, caret);
}

function slashExpiry(input, event) {
  if ((event.inputType || "").startsWith("delete")) return;
  const typed = input.value.normalize("NFKC").trim();
  if (/^[2-9]$/.test(typed)) input.value = `0${typed}/`;
  else if (/^\d[\/.\- ]$/.test(typed)) input.value = `0${typed[0]}/`;
  else if (/^(0\d|1[0-2])[.\- ]?$/.test(typed)) input.value = `${typed.slice(0, 2)}/`;
  else if (/^(0\d|1[0-2])(\d{2}|\d{4})$/.test(typed)) input.value = `${typed.slice(0, 2)}/${typed.slice(2)}`;
  else if (/^\d{2}\/[\/.\- ]$/.test(typed)) input.value = typed.slice(0, 3);
}

/* Brands: asked of the server once six digits are known; a co-badged card gets its choice. */

const SCHEME_NAMES = { cb: "CB", visa: "Visa", mastercard: "Mastercard", amex: "American Express", maestro: "Maestro" };

class Brands {
  constructor(form) {
    this.form = form;
    this.fieldset = document.getElementById("brand");
    this.tag = document.getElementById("brand-name");
    this.radios = [...form.querySelectorAll("input[name=brand]")];
    this.choice = this.radios.find((radio) => radio.checked)?.value || "";
    this.fieldset.addEventListener("change", (event) => {
      this.choice = event.target.value;
    });
    this.known = new Map();
    this.bin = "";
    this.fieldset.hidden = !this.fieldset.classList.contains("field-wrong");
  }

  async typed(digits) {
    const bin = digits.length >= 6 ? digits.slice(0, 6) : "";
    if (bin === this.bin) return;
    this.bin = bin;
    const schemes = bin ? await this.ask(bin) : [];
    if (this.bin !== bin) return; // The payer typed on; another answer is coming.
    if (schemes) this.show(schemes);
    else this.fallBack();
  }

  /** Ask which brands cards of this bin carry; null when the question cannot be answered. */
  async ask(bin) {
    if (this.known.has(bin)) return this.known.get(bin);
    const token = this.form.querySelector("input[name=csrf_token]");
    const body = new URLSearchParams({ bin, csrf_token: token ? token.value : "" });
    try {
      const reply = await fetch(this.form.dataset.brands, { method: "POST", body, credentials: "same-origin" });
      if (!reply.ok) return null;
      this.known.set(bin, (await reply.json()).schemes);
      return this.known.get(bin);
    } catch {
      return null;
    }
  }

  show(schemes) {
    const names = schemes.map((scheme) => SCHEME_NAMES[scheme] || scheme);
    this.tag.hidden = schemes.length === 0;
    this.tag.textContent = names.join(" / ");
    this.offer(schemes.length > 1 ? schemes : []);
    if (document.getElementById("number-error")) return; // What is wrong is not talked over by an answer that came late.
    if (schemes.length === 1) announce(fill(this.form.dataset.textBrand, { brand: names[0] }));
    if (schemes.length > 1) announce(fill(this.form.dataset.textBrands, { brands: names.join(", ") }));
  }

  /** Show the radios of these schemes alone, with the payer's choice or else the first; hide them when there are none. */
  offer(schemes) {
    const wanted = schemes.includes(this.choice) ? this.choice : schemes[0] || "";
    for (const radio of this.radios) {
      radio.closest(".choice").hidden = !schemes.includes(radio.value);
      radio.checked = radio.value === wanted;
    }
    this.fieldset.hidden = schemes.length === 0;
  }

  /** Leave the choice as the page has it without script. */
  fallBack() {
    this.tag.hidden = true;
    for (const radio of this.radios) radio.closest(".choice").hidden = false;
    this.fieldset.hidden = false;
  }
}

/* Fields: checked when they are left, neither while they are typed in nor while they are empty. The server decides. */

let pressed = null;

/** Do something when a field is left, but not by pressing a button: a page that moves then would lose the press. */
function onLeaving(input, act) {
  input.addEventListener("blur", () => {
    if (!pressed && document.hasFocus()) act();
  });
}

/** The check digit of ISO/IEC 7812-1 annex B. */
function isLuhn(digits) {
  const worth = [...digits].reverse().map((digit, place) => Number(digit) * (place % 2 ? 2 : 1));
  return worth.reduce((sum, value) => sum + (value > 9 ? value - 9 : value), 0) % 10 === 0;
}

// Each names the sentence of its field's data that says what is wrong.
const RULES = {
  number(text) {
    const digits = digitsOf(text);
    if (digits.length < 12 || digits.length > 19) return "textWrong";
    return isLuhn(digits) ? "" : "textLuhn";
  },
  expiry(text) {
    const isMonth = /^(\d{1,2}\s*[/.\- ]\s*|\d{2})(\d{4}|\d{2})$|^\d{4}\s*[/.\-]\s*\d{1,2}$/.test(text.trim());
    return isMonth ? "" : "textWrong";
  },
  security_code(text) {
    const isAmex = /^3[47]/.test(digitsOf(document.getElementById("number").value));
    return (isAmex ? /^\d{4}$/ : /^\d{3}$/).test(text.replace(/\s/g, "")) ? "" : "textWrong";
  },
  email(text) {
    return /^[^@\s,;<>]+@[^@\s.,;<>]+(\.[^@\s.,;<>]+)+$/.test(text.trim()) ? "" : "textWrong";
  },
};

/** Say what is wrong with a field, at the field; an empty text takes it back. */
function mark(input, text) {
  const id = `${input.id}-error`;
  document.getElementById(id)?.remove();
  const described = (input.getAttribute("aria-describedby") || "").split(" ").filter((name) => name && name !== id);
  input.closest(".field").classList.toggle("field-wrong", text !== "");
  input.toggleAttribute("aria-invalid", false);
  if (text) {
    const told = document.createElement("p");
    told.id = id;
    told.className = "field-error";
    told.textContent = text;
    (input.closest(".with-brand") || input).before(told);
    input.setAttribute("aria-invalid", "true");
    described.push(id);
    announce(text);
  }
  if (described.length) input.setAttribute("aria-describedby", described.join(" "));
  else input.removeAttribute("aria-describedby");
}

function checkFields() {
  document.addEventListener("pointerdown", (event) => {
    pressed = event.target.closest("button");
  });
  for (const kind of ["click", "pointercancel", "keydown"]) {
    document.addEventListener(kind, () => {
      pressed = null;
    });
  }
  for (const [id, rule] of Object.entries(RULES)) {
    const input = document.getElementById(id);
    if (!input) continue;
    onLeaving(input, () => {
      const text = input.value.normalize("NFKC");
      if (text.trim()) mark(input, input.dataset[rule(text)] || "");
    });
  }
}

/* E-mail: a question about a probable slip, never a refusal. */

const DOMAINS = [
  "gmail.com", "orange.fr", "wanadoo.fr", "hotmail.fr", "hotmail.com", "outlook.fr", "outlook.com", "yahoo.fr", "yahoo.com",
  "laposte.net", "icloud.com", "live.fr", "bbox.fr", "numericable.fr", "protonmail.com", "free.fr", "sfr.fr", "neuf.fr",
];

/** Edits between two words, a swap of neighbours counting as one (optimal string alignment). */
function distance(a, b) {
  const rows = [[...Array(b.length + 1).keys()]];
  for (let i = 1; i <= a.length; i += 1) {
    rows[i] = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + cost);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.length][b.length];
}

/** The address the payer may have meant, or an empty string. */
function likelier(address) {
  const [, local, domain] = /^([^@\s]+)@([^@\s]+)$/.exec(address.trim().toLowerCase()) || [];
  if (!domain || DOMAINS.includes(domain)) return "";
  // Short names are near one another (free.fr, sfr.fr): one slip only, and two in longer ones.
  const near = DOMAINS.find((known) => distance(domain, known) <= (known.length > 8 ? 2 : 1));
  return near ? `${address.trim().slice(0, local.length)}@${near}` : "";
}

function suggestEmail(input) {
  const box = document.getElementById("email-suggestion");
  const kept = new Set();
  let proposal = "";
  onLeaving(input, () => {
    proposal = kept.has(input.value) ? "" : likelier(input.value);
    box.hidden = proposal === "";
    box.firstElementChild.textContent = proposal && fill(input.dataset.textSuggest, { email: proposal });
    if (proposal) announce(box.firstElementChild.textContent);
  });
  box.addEventListener("click", (event) => {
    const answer = event.target.dataset.suggestion;
    if (!answer) return;
    if (answer === "yes") input.value = proposal;
    else kept.add(input.value);
    box.hidden = true;
    input.focus();
  });
}

/* Sending: once. The server refuses a second time anyway; this spares the payer the doubt. */

const RESTORE_AFTER_MS = 30000; // A request lost on the way must not leave a dead page.
let sent = null;

function restore() {
  if (!sent) return;
  clearTimeout(sent.timer);
  if (sent.button) {
    sent.button.removeAttribute("aria-disabled");
    sent.button.textContent = sent.label;
  }
  sent = null;
}

function sendOnce(event) {
  const button = event.submitter;
  if (sent || (button && button.getAttribute("aria-disabled") === "true")) {
    event.preventDefault();
    return;
  }
  sent = { button, label: button ? button.textContent : "", timer: setTimeout(restore, RESTORE_AFTER_MS) };
  // After the event has fired, so that the button's value is still sent.
  setTimeout(() => {
    if (!sent || !sent.button) return;
    sent.button.setAttribute("aria-disabled", "true");
    if (!sent.button.dataset.busy) return;
    sent.button.textContent = sent.button.dataset.busy;
    announce(sent.button.dataset.busy);
  }, 0);
}

/* Time: what is left is said at five, two and one minute, never each second. */

const MINUTE_MS = 60000;

class Countdown {
  constructor(place) {
    this.place = place;
    this.left = place.querySelector("[data-left]");
    this.begin(Number(place.dataset.secondsLeft));
    // A device that slept says what is true now.
    document.addEventListener("visibilitychange", () => this.check());
  }

  /** Count from what the server says is left: the payer's own clock may be wrong. */
  begin(seconds) {
    this.end = Date.now() + seconds * 1000;
    // A code lives for five minutes: when it has just begun there is nothing to warn of yet.
    this.said = seconds > 285 && seconds <= 300 ? 5 * MINUTE_MS : Infinity;
    this.left.hidden = true;
    this.place.classList.remove("is-near");
    this.check(() => {});
  }

  check(say = announce) {
    clearTimeout(this.timer);
    const left = this.end - Date.now();
    const marks = [5, 2, 1].map((minutes) => minutes * MINUTE_MS);
    const passed = marks.filter((mark) => left <= mark).pop();
    if (left <= 0) {
      this.over();
      return;
    }
    if (passed < this.said) {
      this.said = passed;
      this.show(fill(this.place.dataset.minutesLeft, { minutes: passed / MINUTE_MS }), say);
    }
    const next = marks.find((mark) => mark < left) || 0;
    this.timer = setTimeout(() => this.check(), left - next);
  }

  show(text, say) {
    this.left.textContent = text;
    this.left.hidden = false;
    this.place.classList.add("is-near");
    say(text);
  }

  /** Say that a code's time is over; a page's own is over when the server says so. */
  over() {
    if (this.said === 0) return;
    this.said = 0;
    if (this.place.dataset.textOver) this.show(this.place.dataset.textOver, announce);
    else setTimeout(() => location.replace(location.pathname), 1000);
  }
}

/** Ask for more time without leaving the page, so that nothing typed is lost. */
async function extend(button, countdown) {
  const { place } = countdown;
  const token = button.form.querySelector("input[name=csrf_token]");
  const body = new URLSearchParams({ action: "extend", csrf_token: token ? token.value : "" });
  try {
    const reply = await fetch(location.pathname, { method: "POST", body, headers: { Accept: "application/json" } });
    const told = await reply.json();
    if (told.page !== main.dataset.page) {
      location.replace(location.pathname);
      return;
    }
    countdown.begin(told.seconds_left);
    for (const until of document.querySelectorAll("[data-until]")) until.textContent = told.until;
    const note = place.querySelector("[data-note]");
    note.textContent = told.note;
    note.hidden = button.hidden = told.note !== "";
    if (told.note) {
      note.tabIndex = -1;
      note.focus(); // Its button is gone.
    }
    announce(`${told.until} ${told.note}`);
  } catch {
    countdown.show(place.dataset.textFailed, announce);
  }
}

function keepTime() {
  for (const place of document.querySelectorAll("[data-seconds-left]")) {
    const countdown = new Countdown(place);
    const button = place.querySelector("button");
    if (!button) continue;
    button.addEventListener("click", (event) => {
      event.preventDefault();
      if (sent || button.getAttribute("aria-busy")) return;
      button.setAttribute("aria-busy", "true");
      extend(button, countdown).finally(() => button.removeAttribute("aria-busy"));
    });
  }
}

const COOL_DOWN_MAX_SECONDS = 120; // A payer's wrong clock must not lock the button for hours.

function coolDown(button) {
  const hint = document.getElementById("resend-hint");
  const left = () => Math.ceil((Date.parse(button.dataset.resendAt) - Date.now()) / 1000);
  if (left() > COOL_DOWN_MAX_SECONDS) return;
  const tick = () => {
    const seconds = left();
    if (seconds > 0) {
      button.setAttribute("aria-disabled", "true");
      hint.textContent = fill(button.dataset.textWait, { seconds });
      setTimeout(tick, 1000);
      return;
    }
    button.removeAttribute("aria-disabled");
    hint.textContent = button.dataset.textReady;
    announce(button.dataset.textReady);
  };
  tick();
}

/* Waiting: ask again, less and less often. */

function poll(place) {
  const started = Date.now() - Number(place.dataset.waited) * 1000;
  const still = document.getElementById("still-waiting");
  let pause = 1000;
  const ask = async () => {
    try {
      const reply = await fetch(place.dataset.status, { headers: { Accept: "application/json" }, cache: "no-store" });
      if (reply.ok && (await reply.json()).page !== main.dataset.page) {
        location.replace(place.dataset.base);
        return;
      }
    } catch {
      // The network is away: asking again is all there is to do.
    }
    if (still.hidden && Date.now() - started > 10000) {
      still.hidden = false;
      announce(still.textContent);
    }
    pause = Math.min(pause * 1.5, 15000);
    setTimeout(ask, pause);
  };
  setTimeout(ask, pause);
}

/* Starting. */

function start() {
  document.addEventListener("submit", sendOnce);
  window.addEventListener("pageshow", (event) => {
    restore();
    if (event.persisted) location.reload();
  });
  const number = document.getElementById("number");
  if (number) {
    const brands = new Brands(number.form);
    const changed = (event) => {
      if (event?.isComposing) return; // An input method is at work: its digits come in one piece.
      regroup(number);
      brands.typed(digitsOf(number.value));
    };
    checkFields();
    number.addEventListener("input", changed);
    number.addEventListener("change", changed);
    changed();
  }
  const leave = document.querySelector("form[data-leave]");
  if (leave) leave.requestSubmit();
  const close = document.querySelector("[data-close]");
  if (close && window.opener) {
    close.hidden = false;
    close.addEventListener("click", () => window.close());
  }
  const expiry = document.getElementById("expiry");
  if (expiry) expiry.addEventListener("input", (event) => slashExpiry(expiry, event));
  const email = document.getElementById("email");
  if (email) suggestEmail(email);
  const faults = document.getElementById("faults");
  if (faults && !("autofocus" in HTMLElement.prototype)) faults.focus(); // Old browsers know it on controls alone.
  keepTime();
  const resend = document.querySelector("[data-resend-at]");
  if (resend) coolDown(resend);
  const waiting = document.querySelector("[data-status]");
  if (waiting) poll(waiting);
}

start();
