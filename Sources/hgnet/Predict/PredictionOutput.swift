import ArgumentParser
import HGNet
import HGNetCore
import HGNetFormats

/// `--json`, `--json-lines`, `--csv`: how the results of pictures are printed.
struct PredictionOutputOptions: ParsableArguments {
  @Flag(help: "Print one JSON array, with unrounded scores.")
  var json = false

  @Flag(name: .customLong("json-lines"), help: "Print one JSON object per line and picture.")
  var jsonLines = false

  @Flag(help: "Print CSV: one line per picture and class.")
  var csv = false

  /// The form, nil for the lines of the command itself.
  var form: PredictionOutput.Form? { json ? .json : jsonLines ? .jsonLines : csv ? .csv : nil }

  func validate() throws {
    guard [json, jsonLines, csv].count(where: { $0 }) <= 1 else {
      throw ValidationError("expected one of --json, --json-lines and --csv, found several")
    }
  }
}

/// Results of pictures for programs, written one after the other.
///
/// What has been written so far needs only `end` to be complete, however many pictures are still to come.
struct PredictionOutput {
  enum Form { case json, jsonLines, csv }

  let form: Form
  let hasLabels: Bool
  private let rounding: (Double) -> Double
  private var count = 0
  /// Takes text as it is.
  private let write: (String) throws -> Void

  /// Begins the output.
  ///
  /// - Parameters:
  ///   - isFirst: whether this rank writes; another one only makes texts.
  init(
    _ form: Form, hasLabels: Bool, isFirst: Bool = true, rounding: @escaping (Double) -> Double = { $0 },
    write: @escaping (String) throws -> Void = { try StandardOutput.write($0, terminator: "") }
  ) throws {
    self.form = form
    self.hasLabels = hasLabels
    self.rounding = rounding
    self.write = isFirst ? write : { _ in }
    if form == .csv { try self.write("file_name,rank,class_id,score,label_name,error\n") }
  }

  /// The result of a picture as `add` takes it.
  func text(_ path: String, _ result: Result<[ScoredClass], HGNetError>) -> String {
    let json: JSONText
    switch result {
    case .success(let classes):
      if form == .csv { return rows(classes, path: path) }
      json = .prediction(classes, fileName: path, hasLabels: hasLabels, rounding: rounding)
    case .failure(let error):
      if form == .csv { return PredictionOutput.row([path, "", "", "", "", error.description]) }
      json = .failure(error, fileName: path)
    }
    return form == .json ? json.nested : json.line
  }

  /// Writes the result of the next picture.
  mutating func add(_ text: String) throws {
    defer { count += 1 }
    switch form {
    case .json: try write((count == 0 ? "[\n  " : ",\n  ") + text)
    case .jsonLines: try write(text + "\n")
    case .csv: try write(text)
    }
  }

  /// Completes the output.
  func end() throws {
    if form == .json { try write(count == 0 ? "[]\n" : "\n]\n") }
  }

  private func rows(_ classes: [ScoredClass], path: String) -> String {
    // A picture without classes keeps its line.
    guard !classes.isEmpty else { return PredictionOutput.row([path, "", "", "", "", ""]) }
    return classes.enumerated().map { index, result in
      PredictionOutput.row([
        path, "\(index + 1)", "\(result.index)", "\(rounding(result.score))", result.label ?? "", "",
      ])
    }.joined()
  }

  /// A line as RFC 4180 quotes it, with the line end of this system.
  static func row(_ fields: [String]) -> String {
    fields.map { field in
      let needsQuotes =
        field.unicodeScalars.contains { ",\"\n\r".unicodeScalars.contains($0) }
        || field.hasPrefix(" ") || field.hasSuffix(" ")
      return needsQuotes ? "\"" + field.replacing("\"", with: "\"\"") + "\"" : field
    }.joined(separator: ",") + "\n"
  }
}
