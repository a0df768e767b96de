import ArgumentParser
import HGNetCore

/// Height and width on the command line: `224`, `193x257`.
struct SizeArgument: ExpressibleByArgument {
  let size: Size

  init?(argument: String) {
    let parts = argument.lowercased().split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    switch parts.count {
    case 1:
      guard let side = parts[0], side > 0 else { return nil }
      size = Size(side)
    case 2:
      guard let height = parts[0], let width = parts[1], height > 0, width > 0 else { return nil }
      size = Size(height: height, width: width)
    default: return nil
    }
  }

  var defaultValueDescription: String { "\(size.height)x\(size.width)" }
}
