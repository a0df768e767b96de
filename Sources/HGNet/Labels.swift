import HGNetCore
import HGNetModels

/// The names of the classes.
///
/// Threads: a value, safe to share.
public struct Labels: Sendable, Hashable {
  private var names: [Int: String]

  /// Makes labels from names in the order of the classes.
  public init(_ names: [String]) {
    self.names = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($0.offset, $0.element) })
  }

  /// The 1000 classes of ImageNet, in the order of PaddleClas and of everybody else.
  public static var imageNet: Labels { Labels(ImageNetLabels.names) }

  /// Reads a label file: `index name` on each line, where the name is everything after the first space.
  ///
  /// Names may hold spaces and commas; empty lines are skipped; a later line wins over an earlier one with the same
  /// index.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`, `limitExceeded` above 64 MiB, `malformedData` with the
  ///   line that has no index.
  public init(contentsOf path: String) throws(HGNetError) {
    let blob = try Blob(mapping: path)
    guard blob.count <= 64 << 20 else {
      throw HGNetError(.limitExceeded, "expected a label file of at most 64 MiB, found \(blob.count) bytes", path: path)
    }
    guard let text = blob.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
      throw HGNetError(
        .malformedData, "expected lines \"index name\" in UTF-8, found other bytes; convert the file to UTF-8",
        path: path)
    }
    names = [:]
    for (offset, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let content = line.drop { $0 == " " || $0 == "\t" || $0 == "\u{FEFF}" }
      guard !content.isEmpty else { continue }
      let parts = content.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
      guard let index = Int(parts[0]), index >= 0 else {
        throw HGNetError(
          .malformedData, "expected \"index name\" such as \"0 tench\", found \(HGNetError.quoted(content))",
          path: path,
          line: offset + 1)
      }
      names[index] = parts.count > 1 ? String(parts[1]) : ""
    }
    guard !names.isEmpty else {
      throw HGNetError(.malformedData, "expected lines \"index name\", found an empty file", path: path)
    }
  }

  /// The number of names.
  public var count: Int { names.count }

  /// Why these cannot be the names of a network's classes; nil where they can.
  ///
  /// Every name must have an index below the number of classes, names that are numbered from 1 are not taken for names
  /// that are numbered from 0, and the built-in names of ImageNet belong to 1000 classes alone. Fewer names than classes
  /// are no fault: the others keep their index.
  package func fault(classCount: Int) -> String? {
    if self == Labels.imageNet, classCount != count {
      return "expected names of \(classCount) classes, found the \(count) of ImageNet"
    }
    let lowest = names.keys.min() ?? 0
    let highest = names.keys.max() ?? 0
    if highest >= classCount {
      let advice = lowest == 1 && highest == classCount ? "; number them from 0" : ""
      return "expected names of the classes 0 to \(classCount - 1), found the numbers \(lowest) to \(highest)\(advice)"
    }
    if lowest == 1, highest == count, count > 1 {
      return "expected names that are numbered from 0, found the numbers 1 to \(highest)"
    }
    return nil
  }

  /// The name of a class; its index as text where the file leaves a gap.
  public subscript(index: Int) -> String { names[index] ?? "\(index)" }
}
