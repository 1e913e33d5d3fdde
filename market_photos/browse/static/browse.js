"use strict";
// Without scripts the same links and buttons work; what only a script can do stays hidden.

const zoomed = setUpZoom(document.querySelector("[data-zoom]"));

addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const typing = event.target.closest("input, select, textarea");
  if (typing) return;
  if (event.key === "/") {
    event.preventDefault();
    document.getElementById("q").focus();
    return;
  }
  if (zoomed && zoomed(event.key)) {
    event.preventDefault();
    return;
  }
  if (event.shiftKey) return;
  const link = document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`);
  if (link) {
    event.preventDefault();
    // one place in the history for all photos of a return
    if (event.key === "Escape" || !document.querySelector(".stage")) location.assign(link.href);
    else location.replace(link.href);
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
      const text = button.dataset.copy;
      await navigator.clipboard.writeText("isLink" in button.dataset ? new URL(text, location).href : text);
      const before = button.textContent;
      button.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = before; }, 1500);
    });
  }
}
for (const button of document.querySelectorAll("button[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

// The part of a page that shows what happens now is read again every few seconds.
function refreshLater() {
  const live = document.querySelector("[data-live]");
  if (!live) return;
  setTimeout(async () => {
    try {
      const answer = document.hidden ? null : await fetch(location.href);
      if (answer && answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.querySelector("[data-live]");
        if (fresh) live.replaceWith(document.adoptNode(fresh));
      }
    } catch { /* the server is away: try again */ }
    refreshLater();
  }, live.dataset.live * 1000);
}
refreshLater();

// Zoom with wheel, pinch, keys and buttons; drag to move; rotate. Returns the handler of keys.
function setUpZoom(box) {
  if (!box) return null;
  const image = box.querySelector("img");
  const view = { scale: 1, x: 0, y: 0, turns: 0 };
  const pointers = new Map();
  let moved = false;

  function show() {
    view.scale = Math.min(Math.max(view.scale, 1), 12);
    if (view.scale === 1) view.x = view.y = 0;
    const reach = (size) => (size * (view.scale - 1)) / 2;
    view.x = Math.min(Math.max(view.x, -reach(box.clientWidth)), reach(box.clientWidth));
    view.y = Math.min(Math.max(view.y, -reach(box.clientHeight)), reach(box.clientHeight));
    // a photo on its side must fit as well
    const lies = view.turns % 2;
    const fit = lies ? Math.min(box.clientWidth / image.clientHeight, box.clientHeight / image.clientWidth, 1) : 1;
    box.classList.toggle("zoomed", view.scale > 1);
    box.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    image.style.transform = `rotate(${view.turns * 90}deg) scale(${fit})`;
    if (view.scale > 1.5 && image.dataset.original) {
      image.src = image.dataset.original; // all pixels, once they are needed
      delete image.dataset.original;
    }
  }
  function zoom(factor, x = 0, y = 0) {
    const before = view.scale;
    view.scale = Math.min(Math.max(before * factor, 1), 12);
    const change = view.scale / before;
    view.x = x - (x - view.x) * change;
    view.y = y - (y - view.y) * change;
    show();
  }
  const actions = {
    in: () => zoom(1.4),
    out: () => zoom(1 / 1.4),
    fit: () => { Object.assign(view, { scale: 1, x: 0, y: 0 }); show(); },
    turn: () => { view.turns += 1; show(); },
  };
  const keys = { "+": "in", "=": "in", "-": "out", "_": "out", 0: "fit", f: "fit", r: "turn", R: "turn", "\u043a": "turn" };
  const stage = box.parentElement;
  const tools = stage.querySelector(".tools");
  tools.hidden = false;
  for (const button of tools.querySelectorAll("button")) {
    button.addEventListener("click", () => actions[button.dataset.do]());
  }
  const fromCentre = (event) => {
    const frame = stage.getBoundingClientRect();
    return [event.clientX - frame.left - frame.width / 2, event.clientY - frame.top - frame.height / 2];
  };
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), ...fromCentre(event));
  }, { passive: false });
  box.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event);
    moved = false;
  });
  addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const [first, second] = [...pointers.values()];
    if (second) {
      const gap = (one, two) => Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY);
      const other = before === first ? second : first;
      zoom(gap(event, other) / Math.max(gap(before, other), 1), ...fromCentre(other));
      moved = true;
    } else if (view.scale > 1) {
      view.x += event.clientX - before.clientX;
      view.y += event.clientY - before.clientY;
      moved = moved || Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY) > 2;
      show();
    }
    pointers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, (event) => pointers.delete(event.pointerId));
  image.draggable = false;
  box.addEventListener("dragstart", (event) => event.preventDefault());
  box.addEventListener("dblclick", (event) => (view.scale > 1 ? actions.fit() : zoom(3, ...fromCentre(event))));
  // a click zooms; with Ctrl or the middle button the original opens
  box.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || !event.detail) return;
    event.preventDefault();
  });
  addEventListener("resize", show);
  return (key) => {
    if (!(key in keys)) return false;
    actions[keys[key]]();
    return true;
  };
}
