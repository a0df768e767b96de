/// The page at `/`: tries a model in a browser, with nothing from elsewhere.
enum Page {
  /// The page with the header fields that let it load nothing and be shown nowhere else.
  static var answer: HTTPAnswer {
    HTTPAnswer(
      fields: [
        ("content-type", "text/html; charset=utf-8"), ("cache-control", "no-cache"),
        (
          "content-security-policy",
          "default-src 'none'; style-src 'unsafe-inline'; img-src blob: data:; base-uri 'none'; form-action 'self'; "
            + "frame-ancestors 'none'"
        ),
        ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"), ("x-frame-options", "DENY"),
      ], body: Array(html.utf8))
  }

  private static let html = """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>hgnet serve</title>
    <style>body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 40rem; padding: 0 1rem }</style>
    </head>
    <body>
    <h1>hgnet serve</h1>
    <form action="/v1/classify" method="post" enctype="multipart/form-data">
    <p><label>Picture <input type="file" name="picture" accept="image/*" required></label></p>
    <p><button>Classify</button></p>
    </form>
    </body>
    </html>

    """
}
