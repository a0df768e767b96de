import HGNetCore

extension Dataset {
  /// The line of a list that stands for a picture: `path class`, or `path`, a tab and `0,1,0` with several classes.
  ///
  /// - Parameters:
  ///   - index: the picture, `0 ..< count`; traps outside.
  ///   - folder: what the path in the list is relative to; a picture that is elsewhere keeps its whole path.
  /// - Returns: nil for a path that a list cannot hold: one with a line break or with bytes that are no UTF-8. White space
  ///   at the beginning of a name is kept by `./` before it.
  package func listLine(at index: Int, relativeTo folder: String) -> String? {
    let prefix = folder.isEmpty || folder.hasSuffix("/") ? folder : folder + "/"
    var name = paths[index]
    if name.hasPrefix(prefix) { name.removeFirst(prefix.count) }
    // Python, with which PaddleClas reads lists, ends lines at a carriage return, too. U+FFFD stands for other bytes.
    guard !name.utf8.contains(where: { $0 == 0x0A || $0 == 0x0D }), !name.unicodeScalars.contains("\u{FFFD}") else {
      return nil
    }
    if Substring(name).trimmed.startIndex != name.startIndex || name.unicodeScalars.first == "\u{FEFF}" {
      name = "./" + name
    }
    switch targets {
    case .classes(let classes): return "\(name) \(classes[index])"
    case .multipleClasses(let values):
      let row = values[index * classCount..<(index + 1) * classCount]
      return "\(name)\t" + row.map { "\($0)" }.joined(separator: ",")
    }
  }

  /// The error for a picture without a line.
  package static func unlisted(_ path: String) -> HGNetError {
    HGNetError(
      .unsupported,
      "this name cannot stand in a list of pictures, since it has a line break or is not UTF-8; rename the file or folder",
      path: path)
  }

  /// Writes the list, which `Dataset(listFile:folder:)` or `Dataset(multiLabelListFile:folder:)` and PaddleClas read.
  ///
  /// PaddleClas itself cannot read a path with a space in a list with one class per picture. The file appears once it is
  /// complete.
  ///
  /// - Parameters:
  ///   - path: the list file.
  ///   - folder: what the paths in the list are relative to.
  /// - Throws: `HGNetError.Code.unwritableFile`; `unsupported` for a picture without a line, as `listLine` says.
  package func writeList(to path: String, relativeTo folder: String) throws(HGNetError) {
    var output = try FileOutput(path: path)
    for index in 0..<count {
      guard let line = listLine(at: index, relativeTo: folder) else {
        throw Dataset.unlisted(paths[index])
      }
      try output.write(line + "\n")
    }
    try output.commit()
  }

  /// The files that `writeLists` writes into a folder.
  package static func listFiles(in target: String) -> (training: String, evaluation: String, labels: String) {
    let base = target.hasSuffix("/") ? target : target + "/"
    return (base + "train_list.txt", base + "val_list.txt", base + "labels.txt")
  }

  /// Writes what training reads of a folder: `train_list.txt`, `val_list.txt`, and `labels.txt` with `index name` a line.
  ///
  /// - Parameters:
  ///   - training: the pictures to train on.
  ///   - evaluation: the pictures to evaluate on.
  ///   - names: the names of the classes by number.
  ///   - target: the folder for the three files.
  ///   - folder: what the paths in the lists are relative to.
  ///   - evaluationFolder: what those in `val_list.txt` are relative to, where that is another folder.
  /// - Returns: the three files.
  /// - Throws: as `writeList`.
  package static func writeLists(
    training: Dataset, evaluation: Dataset, names: [String], to target: String, relativeTo folder: String,
    evaluationFolder: String? = nil
  ) throws(HGNetError) -> (training: String, evaluation: String, labels: String) {
    let files = listFiles(in: target)
    let evaluationFolder = evaluationFolder ?? folder
    try checkLists(of: [training], names: names, relativeTo: folder)
    try checkLists(of: [evaluation], names: [], relativeTo: evaluationFolder)
    try training.writeList(to: files.training, relativeTo: folder)
    try evaluation.writeList(to: files.evaluation, relativeTo: evaluationFolder)
    var labels = try FileOutput(path: files.labels)
    for (number, name) in names.enumerated() { try labels.write("\(number) \(name)\n") }
    try labels.commit()
    return files
  }

  /// Checks that `writeLists` can write all names.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for one that a list or a label file cannot hold.
  package static func checkLists(
    of datasets: [Dataset], names: [String], relativeTo folder: String
  ) throws(HGNetError) {
    // A label file ends lines at whatever Unicode calls a line break.
    if let name = names.first(where: { $0.contains(where: \.isNewline) || $0.unicodeScalars.contains("\u{FFFD}") }) {
      throw unlisted(PictureFolder.join(folder, name))
    }
    for dataset in datasets {
      for index in 0..<dataset.count where dataset.listLine(at: index, relativeTo: folder) == nil {
        throw unlisted(dataset.paths[index])
      }
    }
  }

  /// The same pictures for a network with more classes, as a list without names gives them.
  package func listed(classCount: Int) -> Dataset {
    Dataset(source: source, paths: paths, targets: targets, classCount: max(classCount, self.classCount))
  }

  /// Decodes every picture, and says its size or why it cannot be read.
  ///
  /// - Parameters:
  ///   - pool: the threads to work with.
  ///   - style: whose decoder to follow.
  /// - Returns: one result per picture, in order.
  /// - Cost: O(pixels of all pictures); memory for one picture per thread.
  package func decodedSizes(pool: ThreadPool, style: DecodingStyle = .openCV) -> [Result<Size, HGNetError>] {
    let untouched = Result<Size, HGNetError>.failure(HGNetError(.internalInconsistency, "not looked at"))
    var results = [Result<Size, HGNetError>](repeating: untouched, count: count)
    results.withUnsafeMutableBufferPointer { results in
      // Each index is written by one thread.
      nonisolated(unsafe) let results = results
      pool.forEach(count) { index in
        do throws(HGNetError) {
          results[index] = .success(try Image(contentsOf: paths[index], style: style).size)
        } catch {
          results[index] = .failure(error.at(path: paths[index]))
        }
      }
    }
    return results
  }

  /// A data set with several classes per picture, from one in which a picture lies in the folder of each of its classes.
  ///
  /// Files with the same bytes are one picture, which keeps the path of the first of them.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile` for a picture that cannot be read.
  /// - Cost: reads every file once.
  package func mergingEqualPictures() throws(HGNetError) -> Dataset {
    guard case .classes(let classes) = targets else { return self }
    var groups: [[Int]] = []
    var groupsByHash: [UInt64: [Int]] = [:]
    for index in 0..<count {
      let blob = try Blob(mapping: paths[index])
      let hash = blob.withUnsafeBytes { bytes in
        bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
      }
      var found: Int?
      for group in groupsByHash[hash] ?? [] where found == nil {
        if try Dataset.areEqual(Blob(mapping: paths[groups[group][0]]), blob) { found = group }
      }
      if let found {
        groups[found].append(index)
      } else {
        groupsByHash[hash, default: []].append(groups.count)
        groups.append([index])
      }
    }
    var values = [UInt8](repeating: 0, count: groups.count * classCount)
    for (row, group) in groups.enumerated() {
      for index in group { values[row * classCount + classes[index]] = 1 }
    }
    return Dataset(
      source: source, paths: groups.map { paths[$0[0]] }, targets: .multipleClasses(values), classCount: classCount,
      classNames: classNames)
  }

  private static func areEqual(_ left: Blob, _ right: Blob) -> Bool {
    left.count == right.count
      && left.withUnsafeBytes { leftBytes in right.withUnsafeBytes { leftBytes.elementsEqual($0) } }
  }
}
