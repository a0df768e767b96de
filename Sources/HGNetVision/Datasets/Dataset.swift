import HGNetCore
import HGNetPlatform

/// Pictures on disk and what each of them shows.
///
/// Made from a list file or from a folder with one folder per class. Everything that can be wrong without decoding a
/// picture is found when it is made, and told together. Threads: a value, safe to share.
package struct Dataset: Sendable {
  /// What the pictures show.
  package enum Targets: Sendable, Equatable {
    /// One class per picture, `0 ..< classCount`; -1 for one of which nobody knows, where that is allowed.
    case classes([Int])
    /// Any number of classes per picture: 0 or 1 for each, `[N, classCount]` in C order.
    case multipleClasses([UInt8])
  }

  /// The largest number of classes that a data set may have.
  package static let maximumClassCount = 1 << 20

  /// Where the data set was read from: a list file or a folder.
  package let source: String
  /// The files, in the order of the list; folders are sorted by bytes.
  package let paths: [String]
  /// What the pictures show, in the order of `paths`.
  package let targets: Targets
  /// The number of classes, at least 1.
  package let classCount: Int
  /// The names of the classes by number; nil for a list, which has none.
  package let classNames: [String]?
  /// What was passed over in a folder, a line each.
  package let notes: [String]

  init(
    source: String, paths: [String], targets: Targets, classCount: Int, classNames: [String]? = nil,
    notes: [String] = []
  ) {
    self.source = source
    self.paths = paths
    self.targets = targets
    self.classCount = classCount
    self.classNames = classNames
    self.notes = notes
  }

  /// The number of pictures, at least 1 unless a part of a data set was asked for.
  package var count: Int { paths.count }

  /// The number of pictures that show each class.
  package var pictureCounts: [Int] {
    var counts = [Int](repeating: 0, count: classCount)
    switch targets {
    case .classes(let classes):
      for number in classes where number >= 0 { counts[number] += 1 }
    case .multipleClasses(let values):
      for (index, value) in values.enumerated() { counts[index % classCount] += Int(value) }
    }
    return counts
  }

  /// The part of pictures that show each class, 0 … 1: PaddleClas' `label_ratio`.
  package var classRatios: [Float] { pictureCounts.map { count == 0 ? 0 : Float($0) / Float(count) } }

  /// The pictures at some indices, in that order.
  ///
  /// Traps on an index outside `0 ..< count`.
  package func subset(_ indices: [Int]) -> Dataset {
    Dataset(
      source: source, paths: indices.map { paths[$0] }, targets: targets(at: indices), classCount: classCount,
      classNames: classNames, notes: notes)
  }

  /// The same pictures with the names of their classes.
  package func named(_ names: [String]) -> Dataset {
    Dataset(source: source, paths: paths, targets: targets, classCount: classCount, classNames: names)
  }

  /// The same with the class of each picture as the only label of several that it might have.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` where these and the scores of all classes have no room.
  package func withSeveralLabels() throws(HGNetError) -> Dataset {
    guard case .classes(let classes) = targets else { return self }
    let need = MemoryNeed(
      "labels and scores of \(count) pictures in \(classCount) classes", bytes: 6, count, classCount)
    try need.check()
    var values = [UInt8](repeating: 0, count: count * classCount)
    for (index, number) in classes.enumerated() where number >= 0 { values[index * classCount + number] = 1 }
    return Dataset(
      source: source, paths: paths, targets: .multipleClasses(values), classCount: classCount, classNames: classNames,
      notes: notes)
  }

  /// The pictures of this data set and then those of another with the same classes, each with one class.
  package func joined(with other: Dataset) -> Dataset {
    guard case .classes(let first) = targets, case .classes(let second) = other.targets else { return self }
    return Dataset(
      source: source, paths: paths + other.paths, targets: .classes(first + second), classCount: classCount,
      classNames: classNames)
  }

  /// What the pictures at some indices show, in that order.
  ///
  /// Traps on an index outside `0 ..< count`.
  package func targets(at indices: [Int]) -> Targets {
    switch targets {
    case .classes(let classes): .classes(indices.map { classes[$0] })
    case .multipleClasses(let values):
      .multipleClasses(indices.flatMap { values[$0 * classCount..<($0 + 1) * classCount] })
    }
  }

  /// Cuts the data set into two parts, each class by itself where a picture has one class.
  ///
  /// Of n pictures of a class, round(n × fraction) go into the first part, but at least one, and where there are two or
  /// more at least one into the second. The same seed gives the same parts on every machine.
  ///
  /// - Parameters:
  ///   - fraction: the size of the first part, 0 … 1.
  ///   - seed: which pictures go where.
  /// - Returns: the two parts, each in the order of this data set.
  package func split(fraction: Double, seed: UInt64) -> (first: Dataset, second: Dataset) {
    var groups: [[Int]] = [Array(0..<count)]
    if case .classes(let classes) = targets {
      groups = [[Int]](repeating: [], count: classCount)
      for (index, number) in classes.enumerated() { groups[number].append(index) }
    }
    var isFirst = [Bool](repeating: false, count: count)
    for (number, group) in groups.enumerated() where !group.isEmpty {
      var generator = RandomGenerator(seed: seed, stream: "split \(number)")
      var order = group
      for index in stride(from: order.count - 1, to: 0, by: -1) {
        order.swapAt(index, Int(generator.next(upperBound: UInt64(index + 1))))
      }
      let wanted = (Double(group.count) * min(max(fraction, 0), 1)).rounded()
      let size = min(max(Int(wanted), 1), max(group.count - 1, 1))
      for index in order[..<size] { isFirst[index] = true }
    }
    return (subset((0..<count).filter { isFirst[$0] }), subset((0..<count).filter { !isFirst[$0] }))
  }
}

/// What is wrong with a data set: collected first, thrown together.
struct DatasetFaults {
  /// How many are told one by one.
  private static let shownCount = 5
  private var shown: [String] = []
  private var firstLine: Int?
  private(set) var count = 0
  private var codes: Set<HGNetError.Code> = []

  /// Notes one fault, with the line where it stands in a list.
  mutating func note(_ code: HGNetError.Code, line: Int? = nil, _ text: @autoclosure () -> String) {
    count += 1
    codes.insert(code)
    firstLine = firstLine ?? line
    guard shown.count < DatasetFaults.shownCount else { return }
    shown.append((line.map { "line \($0): " } ?? "") + text())
  }

  /// Throws what was noted, if anything.
  func check(path: String, of total: Int, unit: String, advice: String) throws(HGNetError) {
    guard count > 0 else { return }
    // The common code, where there is one, tells a script more than "malformed".
    let code = codes.count == 1 ? codes.first ?? .malformedData : .malformedData
    var message = "\(count) of \(total) \(unit) are wrong: " + shown.joined(separator: "; ")
    if count > shown.count { message += "; and \(count - shown.count) more" }
    throw HGNetError(code, "\(message). \(advice)", path: path, line: firstLine)
  }

  /// Notes a picture that is missing, empty or closed to us.
  mutating func checkPicture(at path: String, line: Int? = nil) {
    var status = stat()
    guard stat(path, &status) == 0 else {
      // A name in other bytes than UTF-8 comes with marks in place of what cannot be read.
      let hint =
        path.unicodeScalars.contains("\u{FFFD}")
        ? " under a name in UTF-8; rename it"
        : path.utf8.contains(UInt8(ascii: "\\")) ? "; a backslash does not separate folders here" : ""
      return note(.fileNotFound, line: line, "the picture \(path) does not exist\(hint)")
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      return note(.unreadableFile, line: line, "\(path) is not a file")
    }
    guard status.st_size > 0 else { return note(.malformedData, line: line, "the picture \(path) is empty") }
    if access(path, R_OK) != 0 { note(.unreadableFile, line: line, "the picture \(path) cannot be read") }
  }
}
