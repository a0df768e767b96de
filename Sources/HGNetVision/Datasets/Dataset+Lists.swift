import HGNetCore

extension Dataset {
  /// Reads a list with one class per picture: `path label` a line, as PaddleClas' `ImageNetDataset` does.
  ///
  /// White space around a line is dropped, and so are empty lines. The last field that is an integer is the class, and all
  /// before it the path, which may hold the delimiter. Where no such file exists, but one for a class further to the left,
  /// as with columns after the class, that one counts.
  ///
  /// - Parameters:
  ///   - list: the list file, UTF-8.
  ///   - folder: what the paths are relative to; an absolute path stands alone.
  ///   - delimiter: what stands between the fields.
  ///   - relabels: whether the distinct labels are numbered anew from 0, in ascending order.
  ///   - trainingList: the list whose distinct labels are numbered, where it is another one: a part of the data that
  ///     lacks a class must not number the others differently.
  ///   - classCount: the number of classes that the network has; nil for the largest label + 1.
  ///   - checksPictures: whether each picture must exist, be readable and not be empty.
  ///   - allowsUnlabelled: whether a label may be below 0, for a picture of which nobody knows what it shows, or be
  ///     missing.
  /// - Throws: `HGNetError.Code.fileNotFound` and `unreadableFile` for the list, `noInput` for a list without lines;
  ///   `malformedData` for wrong lines (no delimiter, a label that is no integer, below 0 or not below the number of
  ///   classes), or the common code of all of them, such as `fileNotFound` where only pictures are missing. The message
  ///   has the number of wrong lines and the first few, the context the list and its first wrong line.
  package init(
    listFile list: String, folder: String, delimiter: String = " ", relabels: Bool = false,
    numberedAs trainingList: String? = nil,
    classCount: Int? = nil, checksPictures: Bool = true, allowsUnlabelled: Bool = false
  ) throws(HGNetError) {
    let lines = try Dataset.lines(of: list, delimiter: delimiter)
    var faults = DatasetFaults()
    var paths: [String] = []
    var labels: [Int] = []
    var seen: Set<Int> = []
    for (number, line) in lines {
      let found = Dataset.fields(
        of: line, delimiter: delimiter, under: folder, unlabelled: allowsUnlabelled ? "-1" : nil
      ) { Int($0) != nil }
      guard let (name, labelText) = found else {
        faults.note(.malformedData, line: number, Dataset.wrongDelimiter(line, delimiter: delimiter))
        continue
      }
      guard let label = Int(labelText) else {
        faults.note(
          .malformedData, line: number, "expected a class as an integer, found \(Dataset.quoted(labelText))")
        continue
      }
      guard label >= 0 || allowsUnlabelled else {
        faults.note(.malformedData, line: number, "expected a class from 0, found \(label)")
        continue
      }
      let limit = relabels ? Int.max : classCount ?? Dataset.maximumClassCount
      guard label < limit || allowsUnlabelled else {
        faults.note(
          .malformedData, line: number, "expected a class of 0 to \(limit - 1) for \(limit) classes, found \(label)")
        continue
      }
      let path = PictureFolder.join(folder, name)
      if checksPictures { faults.checkPicture(at: path, line: number) }
      paths.append(path)
      labels.append(allowsUnlabelled && (label < 0 || label >= limit) ? -1 : label)
      if relabels, label >= 0 { seen.insert(label) }
    }
    try faults.check(
      path: list, of: lines.count, unit: "lines",
      advice: "Expected \(Dataset.quoted("path\(delimiter)class")) a line with paths relative to "
        + "\(folder.isEmpty ? "the working directory" : folder)")
    if relabels {
      let known = try trainingList.map { (list) throws(HGNetError) in
        try Dataset.labels(of: list, delimiter: delimiter, under: folder)
      }
      if let known, let other = seen.subtracting(known).min() {
        throw HGNetError(
          .malformedData, "the label \(other) does not occur in \(trainingList ?? ""), which numbers the classes",
          path: list)
      }
      let numbers = Dictionary(
        uniqueKeysWithValues: (known ?? seen).sorted().enumerated().map { ($0.element, $0.offset) })
      labels = labels.map { $0 < 0 ? -1 : numbers[$0] ?? 0 }
      guard numbers.count <= classCount ?? Dataset.maximumClassCount else {
        throw HGNetError(
          .malformedData,
          "expected at most \(classCount ?? Dataset.maximumClassCount) distinct labels, found \(numbers.count)",
          path: list)
      }
    }
    self.init(
      source: list, paths: paths, targets: .classes(labels), classCount: classCount ?? (labels.max() ?? 0) + 1)
  }

  /// Reads a list with any number of classes per picture: `path`, a tab and `0,1,0` a line, as PaddleClas'
  /// `MultiLabelDataset` does.
  ///
  /// The last field that is such numbers counts, so that paths may hold the delimiter.
  ///
  /// - Parameters:
  ///   - list: the list file, UTF-8.
  ///   - folder: what the paths are relative to; an absolute path stands alone.
  ///   - delimiter: what stands between the path and the numbers.
  ///   - classCount: the number of classes that the network has; nil for as many as the first line has numbers.
  ///   - checksPictures: whether each picture must exist, be readable and not be empty.
  /// - Throws: as the other form; a line is wrong, too, when it has another count of numbers or one that is not 0 or 1.
  package init(
    multiLabelListFile list: String, folder: String, delimiter: String = "\t", classCount: Int? = nil,
    checksPictures: Bool = true
  ) throws(HGNetError) {
    let lines = try Dataset.lines(of: list, delimiter: delimiter)
    var faults = DatasetFaults()
    var paths: [String] = []
    var values: [UInt8] = []
    var width = classCount
    for (number, line) in lines {
      let found = Dataset.fields(of: line, delimiter: delimiter, under: folder) { field in
        field.split(separator: ",", omittingEmptySubsequences: false).allSatisfy { ["0", "1"].contains($0.trimmed) }
      }
      guard let (name, text) = found else {
        faults.note(.malformedData, line: number, Dataset.wrongDelimiter(line, delimiter: delimiter))
        continue
      }
      let fields = text.split(separator: ",", omittingEmptySubsequences: false)
      let row: [UInt8] = fields.compactMap {
        switch $0.trimmed {
        case "0": 0
        case "1": 1
        default: nil
        }
      }
      guard row.count == fields.count else {
        let wrong = fields.first { !["0", "1"].contains($0.trimmed) } ?? text
        faults.note(
          .malformedData, line: number,
          "expected numbers 0 and 1 with commas between them, found \(Dataset.quoted(wrong))")
        continue
      }
      let expected = width ?? row.count
      guard row.count == expected, row.count <= Dataset.maximumClassCount else {
        faults.note(.malformedData, line: number, "expected \(expected) numbers, one a class, found \(row.count)")
        continue
      }
      width = expected
      let path = PictureFolder.join(folder, name)
      if checksPictures { faults.checkPicture(at: path, line: number) }
      paths.append(path)
      values.append(contentsOf: row)
    }
    try faults.check(
      path: list, of: lines.count, unit: "lines",
      advice: "Expected \(Dataset.quoted("path\(delimiter)0,1,0")) a line with paths relative to "
        + "\(folder.isEmpty ? "the working directory" : folder)")
    self.init(source: list, paths: paths, targets: .multipleClasses(values), classCount: width ?? 1)
  }

  /// The distinct labels of a list, from 0; wrong lines are told where the list itself is read.
  private static func labels(
    of list: String, delimiter: String, under folder: String
  ) throws(HGNetError) -> Set<Int> {
    var labels: Set<Int> = []
    for (_, line) in try lines(of: list, delimiter: delimiter) {
      let found = fields(of: line, delimiter: delimiter, under: folder) { Int($0.trimmed) != nil }
      if let label = found.flatMap({ Int($0.label.trimmed) }), label >= 0 { labels.insert(label) }
    }
    return labels
  }

  /// The lines that hold something, without white space at their ends, with their numbers from 1.
  private static func lines(
    of list: String, delimiter: String
  ) throws(HGNetError) -> [(number: Int, text: Substring)] {
    guard !delimiter.isEmpty, !delimiter.contains(where: \.isNewline) else {
      throw HGNetError(.invalidArgument, "expected a delimiter of one or more characters on one line", path: list)
    }
    let blob = try Blob(mapping: list)
    guard var text = blob.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
      throw HGNetError(.malformedData, "expected a list of pictures as UTF-8 text, found other bytes", path: list)
    }
    if text.unicodeScalars.first == "\u{FEFF}" { text.unicodeScalars.removeFirst() }
    var lines: [(number: Int, text: Substring)] = []
    for (index, bytes) in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
    {
      let line = Substring(bytes).trimmed
      if !line.isEmpty { lines.append((index + 1, line)) }
    }
    guard !lines.isEmpty else {
      throw HGNetError(
        .noInput, "expected a list of pictures, \(quoted("path\(delimiter)class")) a line; found no lines", path: list)
    }
    return lines
  }

  /// How many delimiters of a line are looked at, from its end.
  private static let maximumFields = 64

  /// Path and label of a line; nil without a delimiter.
  ///
  /// - Parameters:
  ///   - line: the line, without white space at its ends.
  ///   - delimiter: what stands between fields.
  ///   - folder: what paths are relative to.
  ///   - unlabelled: the label of a line that is a path alone; nil where each must have one.
  ///   - isLabel: whether a field is a label.
  static func fields(
    of line: Substring, delimiter: String, under folder: String, unlabelled: Substring? = nil,
    isLabel: (Substring) -> Bool
  ) -> (name: String, label: Substring)? {
    let cuts = Array(line.ranges(of: delimiter).suffix(maximumFields))
    guard let first = cuts.first, let last = cuts.last else { return unlabelled.map { (name(line), $0) } }
    // Each label with what stands before it as the path, from the right.
    var readings: [(name: String, label: Substring)] = []
    for (index, cut) in cuts.enumerated().reversed() {
      let end = index + 1 < cuts.count ? cuts[index + 1].lowerBound : line.endIndex
      let label = line[cut.upperBound..<end]
      guard isLabel(label), cut.lowerBound > line.startIndex else { continue }
      var path = line[..<cut.lowerBound]
      readings.append((name(path), label))
      // Two delimiters in a row.
      while path.utf8.count > delimiter.utf8.count, path.hasSuffix(delimiter) { path.removeLast(delimiter.count) }
      path = path.trimmed
      if path.endIndex < cut.lowerBound, !path.isEmpty { readings.append((name(path), label)) }
    }
    if let unlabelled { readings.append((name(line), unlabelled)) }
    guard let likeliest = readings.first else {
      // What is wrong with it is said by whoever reads the label.
      return cuts.count == 1
        ? (name(line[..<first.lowerBound]), line[first.upperBound...])
        : (name(line[..<last.lowerBound]), line[last.upperBound...])
    }
    guard readings.count > 1 else { return likeliest }
    return readings.first { PictureFolder.kind(of: PictureFolder.join(folder, $0.name), followingLinks: true) == .file }
      ?? (unlabelled == nil ? readings.last { $0.label == likeliest.label } : likeliest)
  }

  /// A path as it was before `listLine` kept the white space at its beginning.
  private static func name(_ text: Substring) -> String {
    guard text.hasPrefix("./"), let third = text.utf8.dropFirst(2).first, third == 0x20 || (0x09...0x0D).contains(third)
    else { return String(text) }
    return String(text.dropFirst(2))
  }

  private static func wrongDelimiter(_ line: Substring, delimiter: String) -> String {
    var text = "found no delimiter \(quoted(delimiter)) in \(quoted(line))"
    let others = ["\t", " ", ",", ";", "|"].filter { other in
      other != delimiter && other.utf8.allSatisfy { line.utf8.contains($0) }
    }
    if let other = others.first { text += " (is it \(quoted(other))?)" }
    return text
  }

  /// A text for a message, cut where it is long.
  private static func quoted(_ text: some StringProtocol) -> String {
    let shown = text.prefix(80).map { $0 == "\t" ? "\\t" : String($0) }.joined()
    return "\"\(shown)\(text.count > 80 ? "…" : "")\""
  }
}

// By bytes rather than by characters: a list may have millions of lines.
extension Substring {
  /// The text without ASCII white space at its ends.
  var trimmed: Substring {
    func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
    guard let start = utf8.firstIndex(where: { !isSpace($0) }), let last = utf8.lastIndex(where: { !isSpace($0) })
    else { return self[endIndex...] }
    return self[start..<utf8.index(after: last)]
  }

  /// Where a text occurs, from the left, without overlaps.
  fileprivate func ranges(of text: String) -> [Range<Index>] {
    guard let first = text.utf8.first else { return [] }
    var found: [Range<Index>] = []
    var rest = utf8[...]
    while let start = rest.firstIndex(of: first) {
      rest = rest[start...]
      if rest.starts(with: text.utf8) {
        let end = rest.index(start, offsetBy: text.utf8.count)
        found.append(start..<end)
        rest = rest[end...]
      } else {
        rest = rest.dropFirst()
      }
    }
    return found
  }
}
