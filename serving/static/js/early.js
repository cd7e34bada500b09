// Before the first paint: the theme, motion and language that this browser was told last time (see controls.js).
for (const name of ["theme", "motion"]) {
  const value = localStorage.getItem(`samewater.${name}`);
  if (value) document.documentElement.dataset[name] = value;
}
document.documentElement.lang =
  localStorage.getItem("samewater.language") ?? (navigator.language.startsWith("zh") ? "zh-CN" : "en");
