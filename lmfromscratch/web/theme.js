// Runs before anything is painted, so that a page in the dark does not flash.
try {
  const theme = localStorage.getItem('lmfs-theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
} catch { /* Storage may be forbidden: then the system's scheme holds. */ }

if (location.protocol === 'file:') {
  addEventListener('DOMContentLoaded', () => { document.getElementById('from-disk').hidden = false })
}
