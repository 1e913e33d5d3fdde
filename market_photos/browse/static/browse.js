"use strict";
// Nothing here is needed: without it the same links and buttons work.

addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    document.getElementById("q").focus();
  } else if (!typing) {
    const link = document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`);
    if (link) {
      event.preventDefault();
      // one place in the history for all photos of a return
      if (event.key === "Escape") location.assign(link.href);
      else location.replace(link.href);
    }
  }
});

// A filter works when it is chosen; empty ones stay out of the address.
for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", () => {
    for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
  });
  if ("submits" in form.dataset) {
    form.addEventListener("change", (event) => {
      if (event.target.matches("select")) form.requestSubmit();
    });
  }
}
// Coming back by the browser's own button must find them usable again.
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form :disabled")) field.disabled = false;
});

const wide = matchMedia("(min-width: 60rem)");
const openWide = () => {
  for (const one of document.querySelectorAll("details[data-open-wide]")) one.open = wide.matches || one.open;
};
openWide();
wide.addEventListener("change", openWide);

if (navigator.clipboard) {
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      const before = button.textContent;
      button.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = before; }, 1500);
    });
  }
}
