import Foundation
import HGNetCore
import HGNetFormats

/// Whether a server would answer: for containers and machines that build.
package enum ServerCheck {
  /// Loads the models and lets each answer one picture, over no network.
  ///
  /// - Returns: a line per model.
  /// - Throws: `HGNetError` for a model that cannot be loaded or does not answer.
  package static func run(_ state: ServingState) async throws(HGNetError) -> [String] {
    if let failure = await state.repository.refresh().first { throw failure }
    let models = state.repository.models
    guard !models.isEmpty else { throw HGNetError(.noInput, "expected at least one model, found none") }
    let routes = HTTPRoutes(state: state)
    var lines: [String] = []
    for model in models {
      let started = ContinuousClock.now
      let name = model.name.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? model.name
      var call = HTTPCall(
        method: "POST", path: "/v1/classify", query: "model=\(name)&version=\(model.version)&top_k=1",
        body: Blob(picture))
      call.fields["authorization"] = state.token?.field
      let answer = await routes.answer(call)
      let text = String(decoding: answer.body, as: UTF8.self).split(separator: "\n").joined()
      guard answer.status == 200 else {
        throw HGNetError(.internalInconsistency, "model \"\(model.name)\" does not answer a picture: \(text)")
      }
      let milliseconds = FixedPoint.text((ContinuousClock.now - started).inSeconds * 1e3, digits: 1)
      lines.append("\(model.name)/\(model.version) answers a picture in \(milliseconds) ms")
    }
    return lines
  }

  /// A picture of 64 × 64 pixels as a BMP file: rows of blue, green, red.
  private static var picture: [UInt8] {
    let side = 64
    func number(_ value: Int, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    let size = 54 + side * side * 3
    var bytes = Array("BM".utf8) + number(size, 4) + number(0, 4) + number(54, 4)
    bytes += number(40, 4) + number(side, 4) + number(side, 4) + number(1, 2) + number(24, 2) + number(0, 4)
    bytes += number(size - 54, 4) + number(2835, 4) + number(2835, 4) + number(0, 4) + number(0, 4)
    for row in 0..<side {
      for column in 0..<side { bytes += [UInt8(row * 4), UInt8(column * 4), UInt8((row ^ column) * 4)] }
    }
    return bytes
  }
}
