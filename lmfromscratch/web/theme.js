// Runs before anything is painted, so that a page in the dark does not flash. The course's pages keep their
// theme under the same keys.
try {
  const theme = localStorage.getItem('mode') ?? localStorage.getItem('lmfs-theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
} catch { /* Storage may be forbidden: then the system's scheme holds. */ }

// What is said where the page's own program can't run.
function tell(id, text) {
  const show = () => {
    const box = document.getElementById(id)
    if (text) box.textContent = text
    box.hidden = false
  }
  if (document.readyState === 'loading') addEventListener('DOMContentLoaded', show)
  else show()
}
if (location.protocol === 'file:') tell('from-disk')
else addEventListener('error', e => {
  if (e.target?.type !== 'module') return
  tell('broken', 'A part of this page could not be loaded, so nothing works yet. Check the connection, and ' +
    'load the page again.')
}, true)
