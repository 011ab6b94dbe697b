// Keys for what the page's buttons and links do. The page works without this.
"use strict";
const form = document.getElementById("judge");
const comment = document.getElementById("comment");
const help = document.getElementById("help");
const evidence = document.getElementById("evidence");
let sent = false;

// A second press while the next row loads must not judge a row that nobody has seen.
form.addEventListener("submit", (event) => {
  if (sent) event.preventDefault();
  sent = true;
});

function toggle(details) {
  details.open = !details.open;
  if (details.open) details.scrollIntoView({ block: "start" });
}

function press(selector) {
  const found = document.querySelector(selector);
  if (found) found.click();
}

const keys = {
  j: () => press("#next"),
  ArrowRight: () => press("#next"),
  k: () => press("#previous"),
  ArrowLeft: () => press("#previous"),
  u: () => press("#undo"),
  e: () => toggle(evidence),
  "?": () => toggle(help),
  c: () => comment.focus(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.isComposing || sent) return;
  if (event.target === comment) {
    if (event.key === "Escape") comment.blur();
    return;
  }
  const button = form.querySelectorAll(".buttons button")[Number(event.key) - 1];
  const action = button && /^[1-4]$/.test(event.key) ? () => button.click() : keys[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

const shown = document.getElementById("show-help");
shown.hidden = false;
shown.addEventListener("click", () => toggle(help));
