"""The look of the data docs, in place of what their pages would load from the network."""

STYLE = """
:root { --line: #d8dee4; --soft: #f6f8fa; --ink: #1f2328; --good: #1a7f37; --bad: #cf222e; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); font: 14px/1.45 system-ui, "Segoe UI", sans-serif; }
header { padding: 14px 28px; border-bottom: 1px solid var(--line); font-weight: 600; }
a { color: #0969da; text-decoration: none; }
h4, h5, h6 { margin: 0; font-size: 15px; }
.lead { margin: 2px 0 0; color: #59636e; }
body > p, body > .table { margin: 24px 28px; }
body > table.table { width: calc(100% - 56px); }
body > .container-fluid > .row { display: flex; gap: 32px; padding: 20px 28px; }
.container-fluid > .row > .col-lg-2 { flex: 0 0 210px; }
.container-fluid > .row > .col-lg-10 { flex: 1 1 auto; min-width: 0; }
.sticky { position: sticky; top: 16px; }
.sticky > .card:first-of-type { display: none; }
.card { border: 1px solid var(--line); border-radius: 6px; overflow: hidden; }
.card-header { padding: 6px 10px; background: var(--soft); border-bottom: 1px solid var(--line); }
.card-body { max-height: 70vh; overflow: auto; }
.nav { list-style: none; margin: 0; padding: 6px 10px; }
.nav-link { display: block; padding: 2px 0; }
.alert { margin: 18px 0 6px; padding: 8px 12px; background: var(--soft); }
.alert { border-left: 3px solid var(--line); border-radius: 4px; }
.h6 { font-weight: 600; }
.table-responsive { overflow-x: auto; }
table { border-collapse: collapse; }
table.table { width: 100%; }
th { color: #59636e; font-weight: 600; }
th, td { padding: 6px 10px; border-bottom: 1px solid var(--line); }
th, td { text-align: left; vertical-align: top; }
table.table-bordered { margin: 8px 0; border: 1px solid var(--line); font-size: 13px; }
td ul, td p { margin: 0; padding: 0; list-style: none; }
.badge { padding: 1px 6px; border-radius: 9px; background: #e6eaef; }
.badge { font: 12px ui-monospace, monospace; }
.text-success { color: var(--good); }
.text-danger, .badge-danger { color: var(--bad); }
.text-center { text-align: center; }
.fas, .fa-times, .fa-check-circle { font-style: normal; font-weight: 700; }
.fa-check-circle::before { content: "✓"; }
.fa-times::before { content: "✗"; }
.fa-exclamation-triangle::before { content: "!"; }
[data-toggle=collapse], .collapse, .modal, button, .btn { display: none; }
"""
