"use strict";

// Show a bar's description on hover and on keyboard focus.
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
tip.setAttribute("aria-hidden", "true");
document.body.append(tip);

function show(step) {
  const box = step.getBoundingClientRect();
  tip.textContent = step.getAttribute("aria-label");
  tip.hidden = false;
  const left = Math.min(Math.max(8, box.left), window.innerWidth - tip.offsetWidth - 8);
  const below = box.bottom + 8 + tip.offsetHeight < window.innerHeight;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${below ? box.bottom + 8 : box.top - tip.offsetHeight - 8}px`;
}

function hide() {
  tip.hidden = true;
}

for (const step of document.querySelectorAll(".timeline .step")) {
  step.querySelector("title").remove(); // otherwise the browser shows a second tooltip
  step.addEventListener("mouseenter", () => show(step));
  step.addEventListener("mouseleave", hide);
  step.addEventListener("focus", () => show(step));
  step.addEventListener("blur", hide);
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hide();
});
document.addEventListener("scroll", hide, { passive: true });

// Copying also works from a file: without access to the clipboard, select the text.
const said = document.getElementById("said");

function select(node) {
  const range = document.createRange();
  range.selectNodeContents(node);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

async function copy(button) {
  const digest = button.parentElement.querySelector("code");
  let done = false;
  try {
    await navigator.clipboard.writeText(digest.textContent);
    done = true;
  } catch {
    select(digest);
    done = document.execCommand("copy");
  }
  button.textContent = done ? "copied" : "selected";
  said.textContent = done ? "The digest is copied." : "The digest is selected: copy it with Ctrl+C.";
  setTimeout(() => {
    button.textContent = "copy";
  }, 2000);
}

for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

// Open all details for printing.
window.addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details")) each.open = true;
});
