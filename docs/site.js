// What the theme leaves out for those who use a keyboard or a screen reader: the name of the search dialog, wide tables
// and code that can be scrolled without a mouse, and a name for each copy button's place.
document$.subscribe(() => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search the documentation");
  for (const wide of document.querySelectorAll(".md-typeset__scrollwrap")) wide.tabIndex = 0;
  document.querySelectorAll(".md-code__nav").forEach((nav, number) => nav.setAttribute("aria-label", `Code ${number + 1}`));
});
