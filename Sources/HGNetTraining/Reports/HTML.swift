import HGNetCore

/// Pieces of an HTML document.
enum HTML {
  /// Text with the characters that mean something in HTML written as entities.
  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// A number with a fixed count of decimals; 0 for what is no number.
  static func fixed(_ value: Double, _ digits: Int) -> String {
    FixedPoint.text(value.isFinite ? value : 0, digits: digits)
  }

  /// Key figures side by side.
  static func figures(_ figures: [(name: String, value: String)]) -> String {
    let tiles = figures.map {
      "<div class=\"figure\"><span>\(escaped($0.name))</span><b>\(escaped($0.value))</b></div>"
    }
    return "<section class=\"figures\">\(tiles.joined())</section>"
  }

  /// A share as `97.3%`.
  static func percent(_ share: Double) -> String { "\(fixed(share * 100, 1))%" }

  static let style = """
    :root { color-scheme: light dark; --page:#f6f7f9; --card:#ffffff; --ink:#1c2230; --soft:#667085; --line:#e3e6ec;
      --c0:#2563c9; --c1:#d1602a; --c2:#17876d; --c3:#8a4fc7; --good:37,99,201; --bad:209,96,42; }
    @media (prefers-color-scheme: dark) { :root { --page:#12151c; --card:#1b202b; --ink:#e7eaf0; --soft:#98a2b3;
      --line:#2d3442; --c0:#6ea2f5; --c1:#f0925f; --c2:#4cc3a5; --c3:#b98cf0; --good:80,140,240; --bad:240,130,80; } }
    * { box-sizing:border-box; }
    body { margin:0; background:var(--page); color:var(--ink);
      font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif; }
    main { max-width:1120px; margin:0 auto; padding:32px 20px 64px; }
    h1 { font-size:28px; line-height:1.2; margin:0; letter-spacing:-.01em; } header p { color:var(--soft); margin:6px 0 22px; }
    h2 { font-size:18px; margin:0 0 14px; } h3 { font-size:14px; margin:0; }
    section { background:var(--card); border:1px solid var(--line); border-radius:12px; padding:20px; margin:0 0 18px; }
    section.figures { display:flex; flex-wrap:wrap; gap:1px; padding:0;
      overflow:hidden; background:var(--line); }
    .figure { flex:1 1 140px; box-sizing:border-box; background:var(--card); padding:14px 18px; } .figure span { display:block; color:var(--soft); font-size:13px; }
    .figure b { font-size:21px; font-weight:650; font-variant-numeric:tabular-nums; overflow-wrap:anywhere; }
    .curves { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr)); gap:22px; }
    svg { width:100%; height:auto; display:block; overflow:visible; }
    svg text { fill:var(--soft); font-size:11.5px; } text.y { text-anchor:end; dominant-baseline:central; }
    text.x { text-anchor:middle; } .grid { stroke:var(--line); }
    polyline { fill:none; stroke-width:2; stroke-linejoin:round; stroke-linecap:round; }
    polyline.s0 { stroke:var(--c0); } polyline.s1 { stroke:var(--c1); } polyline.s2 { stroke:var(--c2); }
    polyline.s3 { stroke:var(--c3); } .s0 { fill:var(--c0); background:var(--c0); } .s1 { fill:var(--c1); background:var(--c1); }
    .s2 { fill:var(--c2); background:var(--c2); } .s3 { fill:var(--c3); background:var(--c3); }
    polyline.s0, polyline.s1, polyline.s2, polyline.s3 { fill:none; }
    .legend { display:flex; flex-wrap:wrap; gap:2px 16px; margin:4px 0 6px; color:var(--soft); font-size:13px; }
    .legend b { color:var(--ink); font-variant-numeric:tabular-nums; }
    .legend i { display:inline-block; width:14px; height:3px; border-radius:2px; margin-right:6px; vertical-align:middle; }
    .scroll { overflow:auto; max-width:100%; } .tall { max-height:520px; }
    table { border-collapse:collapse; font-variant-numeric:tabular-nums; font-size:13.5px; }
    .matrix th { font-weight:500; text-align:right; padding:2px 10px 2px 0; white-space:nowrap; color:var(--soft); }
    .matrix th.corner { font-size:12px; vertical-align:bottom; } .matrix th.column { padding:0; vertical-align:bottom; }
    .matrix th.column span { writing-mode:vertical-rl; transform:rotate(180deg); padding:8px 0 0; display:inline-block; }
    .matrix th.column { text-align:center; }
    .matrix td { min-width:36px; height:32px; text-align:center; border:2px solid var(--card); border-radius:5px; }
    td.right { background:rgba(var(--good),var(--s)); } td.wrong { background:rgba(var(--bad),var(--s)); } td.strong { color:#fff; }
    .classes { width:100%; } .classes th { text-align:left; color:var(--soft); font-weight:500; padding:6px 14px 6px 0;
      position:sticky; top:0; background:var(--card); border-bottom:1px solid var(--line); white-space:nowrap; }
    .sortable th { cursor:pointer; } .sortable th.up::after { content:" ↑"; } .sortable th.down::after { content:" ↓"; }
    .classes td { padding:5px 14px 5px 0; border-bottom:1px solid var(--line); white-space:nowrap; }
    .classes i { display:inline-block; height:8px; border-radius:4px; background:var(--c0); margin-right:8px; min-width:1px; }
    .mistakes { display:grid; grid-template-columns:repeat(auto-fill,minmax(150px,1fr)); gap:14px; }
    figure { margin:0; border:1px solid var(--line); border-radius:10px; overflow:hidden; }
    figure img { width:100%; aspect-ratio:1; object-fit:cover; display:block; background:var(--line); }
    figcaption { padding:8px 10px 9px; font-size:13px; line-height:1.35; } figcaption span { display:block; color:var(--soft); }
    figcaption small { display:block; color:var(--soft); overflow:hidden; text-overflow:ellipsis; white-space:nowrap; }
    .note { color:var(--soft); font-size:13px; margin:10px 0 0; } summary { cursor:pointer; color:var(--soft); }
    pre { overflow:auto; font:12.5px/1.5 ui-monospace,"DejaVu Sans Mono",monospace; margin:10px 0 0; }
    h1, header p { overflow-wrap:anywhere; }
    @media (max-width:520px) { main { padding:20px 12px 40px; } section { padding:14px; } h1 { font-size:22px; }
      .mistakes { grid-template-columns:repeat(auto-fill,minmax(130px,1fr)); gap:10px; }
      .figure { flex-basis:105px; padding:10px 12px; }
      .figure b { font-size:18px; } svg text { font-size:17px; } }
    @media print { body { background:#fff; } section { break-inside:avoid; } .tall { max-height:none; } }
    """

  static let script = """
    for (const table of document.querySelectorAll("table.sortable")) {
      const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
      heads.forEach((head, column) => head.addEventListener("click", () => {
        const down = !head.classList.contains("down");
        heads.forEach(other => other.classList.remove("up", "down"));
        head.classList.add(down ? "down" : "up");
        const value = row => Number(row.cells[column].dataset.v);
        [...body.rows].sort((a, b) => down ? value(b) - value(a) : value(a) - value(b)).forEach(row => body.append(row));
      }));
    }
    """
}
