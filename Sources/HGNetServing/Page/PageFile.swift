/// The files of the page at `/`, which tries a model in a browser, with nothing from elsewhere.
enum PageFile: String {
  case html = "page.html"
  case style = "page.css"
  case script = "page.js"

  /// The file with the header fields that let the page load nothing else and be shown nowhere else.
  var answer: HTTPAnswer {
    HTTPAnswer(
      fields: [
        ("content-type", contentType), ("cache-control", "no-cache"),
        (
          "content-security-policy",
          "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src blob: data:; "
            + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"), ("x-frame-options", "DENY"),
      ], body: bytes)
  }

  private var contentType: String {
    switch self {
    case .html: "text/html; charset=utf-8"
    case .style: "text/css; charset=utf-8"
    case .script: "text/javascript; charset=utf-8"
    }
  }

  private var bytes: [UInt8] {
    switch self {
    case .html: PackageResources.page_html
    case .style: PackageResources.page_css
    case .script: PackageResources.page_js
    }
  }
}
