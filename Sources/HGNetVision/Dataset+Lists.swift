import HGNetCore

extension Dataset {
  /// Reads a list with one class per picture: `path label` a line, as PaddleClas' `ImageNetDataset` does.
  ///
  /// White space around a line is dropped, and so are empty lines. The first field is the path and the second the class,
  /// an integer from 0; where the second is no integer but the last one is, everything before the last delimiter is the
  /// path, so that paths may hold the delimiter.
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
      let found = Dataset.fields(of: line, delimiter: delimiter)
      guard let (name, labelText) = found ?? (allowsUnlabelled ? (String(line), "-1") : nil) else {
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
        try Dataset.labels(of: list, delimiter: delimiter)
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
      guard let cut = line.range(of: delimiter) else {
        faults.note(.malformedData, line: number, Dataset.wrongDelimiter(line, delimiter: delimiter))
        continue
      }
      let rest = line[cut.upperBound...]
      let text = rest[..<(rest.range(of: delimiter)?.lowerBound ?? rest.endIndex)]
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
      let path = PictureFolder.join(folder, String(line[..<cut.lowerBound].trimmed))
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
  private static func labels(of list: String, delimiter: String) throws(HGNetError) -> Set<Int> {
    var labels: Set<Int> = []
    for (_, line) in try lines(of: list, delimiter: delimiter) {
      if let label = fields(of: line, delimiter: delimiter).flatMap({ Int($0.1) }), label >= 0 { labels.insert(label) }
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

  /// Path and class of a line; nil without a delimiter.
  static func fields(of line: Substring, delimiter: String) -> (String, Substring)? {
    guard let first = line.range(of: delimiter) else { return nil }
    let rest = line[first.upperBound...]
    let second = rest[..<(rest.range(of: delimiter)?.lowerBound ?? rest.endIndex)]
    if second.endIndex < line.endIndex, Int(second) == nil {
      var last = first
      while let next = line[last.upperBound...].range(of: delimiter) { last = next }
      if Int(line[last.upperBound...]) != nil {
        return (String(line[..<last.lowerBound]), line[last.upperBound...])
      }
    }
    return (String(line[..<first.lowerBound]), second)
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

  /// Where a text first occurs.
  fileprivate func range(of text: String) -> Range<Index>? {
    guard let first = text.utf8.first else { return nil }
    var rest = utf8[...]
    while let start = rest.firstIndex(of: first) {
      rest = rest[start...]
      if rest.starts(with: text.utf8) { return start..<rest.index(start, offsetBy: text.utf8.count) }
      rest = rest.dropFirst()
    }
    return nil
  }
}
