// What makes the pages more comfortable. Without it they show and do the same.
"use strict";

// Copy buttons: the text is all there without them.
for (const text of navigator.clipboard ? document.querySelectorAll(".copy") : []) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copier";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy " + text.getAttribute("aria-label"));
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not copied";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  text.after(button);
}

// `/` goes to the search box.
const box = document.getElementById("q");
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    box.focus();
    box.select();
  }
});

// Search as you type, where the list of projects is.
const results = document.getElementById("results");
if (results && box) {
  let timer = 0;
  let last = null;
  const search = async () => {
    const address = new URL(box.form.action);
    for (const [name, value] of new FormData(box.form)) {
      if (value) address.searchParams.set(name, value);
    }
    last?.abort();
    last = new AbortController();
    try {
      const answer = await fetch(address, { signal: last.signal });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = page.getElementById("results");
      if (!found) return;
      // The region that is announced stays; its text changes.
      const said = results.querySelector(".found");
      const now = found.querySelector(".found");
      said.replaceChildren(...now.childNodes);
      now.remove();
      results.replaceChildren(said, ...found.childNodes);
      history.replaceState(null, "", address);
      document.title = page.title;
    } catch (error) {
      // A later search took this one's place; or there is no network, and Enter says so.
      if (error.name !== "AbortError") console.warn(error.message);
    }
  };
  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, 120);
  });
}

// The graph: what belongs to the object under the pointer.
for (const graph of document.querySelectorAll(".graph")) {
  const paths = [...graph.querySelectorAll("path[data-from]")];
  for (const node of graph.querySelectorAll("[data-node]")) {
    const id = node.dataset.node;
    node.addEventListener("pointerenter", () => {
      graph.classList.add("lit");
      for (const path of paths) path.classList.toggle("on", path.dataset.from === id || path.dataset.to === id);
    });
    node.addEventListener("pointerleave", () => graph.classList.remove("lit"));
  }
}

// A link to a release unfolds it.
const unfold = () => {
  const release = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (release instanceof HTMLDetailsElement) release.open = true;
};
addEventListener("hashchange", unfold);
unfold();

// A build that is running: its log as it comes, and how far its jobs are.
for (const log of document.querySelectorAll("[data-events]")) {
  // Who has scrolled up reads; for everybody else the last line stays in sight, also when the window changes.
  let follows = true;
  const last = () => { if (follows) log.scrollTop = log.scrollHeight; };
  log.addEventListener("scroll", () => { follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40; });
  addEventListener("resize", last);
  const say = (line) => {
    log.append(line + "\n");
    last();
  };
  let timer = 0;
  const look = () => {
    timer = timer || setTimeout(async () => {
      timer = 0;
      const answer = await fetch(location.href).catch(() => null);
      if (!answer?.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const now = page.getElementById("now");
      if (now) document.getElementById("now").replaceChildren(...now.childNodes);
    }, 300);
  };
  const events = new EventSource(log.dataset.events);
  events.addEventListener("message", (message) => {
    const event = JSON.parse(message.data);
    if (event.event === "log") return say(event.line);
    if (event.event === "missed") say(`(${event.lines} lines are not kept here any more)`);
    if (event.event === "end") events.close();
    look();
  });
}
