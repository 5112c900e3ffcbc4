"use strict";
(function () {
  var box = document.getElementById("filter");
  var rows = document.querySelectorAll("#hosts tbody tr");
  var said = document.getElementById("filtered");
  function filter() {
    var word = box.value.trim().toLowerCase();
    var found = 0;
    rows.forEach(function (row) {
      var cells = Array.from(row.cells);
      var told = cells.slice(0, 1).concat(cells.slice(2)).map(function (cell) {
        return cell.textContent.toLowerCase();
      });
      var about = told.join(" ").indexOf(word) >= 0;
      var here = 0;
      row.querySelectorAll(".names li").forEach(function (name) {
        name.hidden = !about && name.textContent.toLowerCase().indexOf(word) < 0;
        here += name.hidden ? 0 : 1;
      });
      row.hidden = here === 0;
      found += here;
      row.querySelectorAll("details").forEach(function (fold) {
        fold.open = word !== "" && !about;
      });
    });
    said.textContent = word ? found + (found === 1 ? " host" : " hosts") : "";
  }
  if (box) {
    box.closest(".filter").hidden = false;
    box.addEventListener("input", filter);
  }
  var folded = [];
  window.addEventListener("beforeprint", function () {
    folded = Array.from(document.querySelectorAll("details:not([open])"));
    folded.forEach(function (fold) { fold.open = true; });
  });
  window.addEventListener("afterprint", function () {
    folded.forEach(function (fold) { fold.open = false; });
  });
  function unfold() {
    var part = location.hash && document.getElementById(location.hash.slice(1));
    var fold = part && part.querySelector("details");
    if (fold) { fold.open = true; }
  }
  window.addEventListener("hashchange", unfold);
  unfold();
})();
