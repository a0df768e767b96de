import Foundation
import Testing

@Suite("Messages about hostile files")
struct HostileTextTests {
  /// A long text with what moves a cursor.
  private static let long = String(repeating: "abc \u{1B}[2J\u{202E}def ", count: 20_000)

  private static func safetensors(_ header: String) -> Data {
    var data = Data()
    withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { data.append(contentsOf: $0) }
    return data + Data(header.utf8) + Data(count: 64)
  }

  private static func numpy(_ type: String) -> Data {
    let header = "{'descr': '\(type)', 'fortran_order': False, 'shape': (1, 3, 8, 8), }\n"
    var data = Data([0x93]) + Data("NUMPY".utf8) + Data([2, 0])
    withUnsafeBytes(of: UInt32(header.utf8.count).littleEndian) { data.append(contentsOf: $0) }
    return data + Data(header.utf8)
  }

  /// Files and the commands that read them.
  private static let files: [(name: String, content: Data, arguments: [String])] = {
    let plain = long.filter { $0 != "\u{1B}" && $0 != "\u{202E}" }
    let word = String(repeating: "x", count: 300_000)
    let infer = { (name: String) in ["infer", "-c", name] }
    let predict = { (name: String) in ["predict", "x.png", "--weights", name] }
    return [
      ("key.yaml", Data("Arch: {? \"\(plain)\" : 1}\n".utf8), infer("key.yaml")),
      ("twice.yaml", Data("Arch: {? \"\(plain)\" : 1, ? \"\(plain)\" : 1}\n".utf8), infer("twice.yaml")),
      ("section.yaml", Data("? \"\(plain)\"\n: 1\n".utf8), infer("section.yaml")),
      ("value.yaml", Data("Arch: {name: \"\(plain)\"}\n".utf8), infer("value.yaml")),
      (
        "type.yaml", Data("Global: {use_multilabel: \"\(plain)\", infer_imgs: x}\nArch: \"\(plain)\"\n".utf8),
        infer("type.yaml")
      ),
      ("anchor.yaml", Data("a: *\(word)\n".utf8), infer("anchor.yaml")),
      ("tag.yaml", Data("a: !\(word) 1\n".utf8), infer("tag.yaml")),
      ("number.yaml", Data("a: \(String(repeating: "9", count: 300_000))\n".utf8), infer("number.yaml")),
      ("control.yaml", Data("a: \(long)\n".utf8), infer("control.yaml")),
      ("list.yaml", Data("\(plain)\n".utf8), infer("list.yaml")),
      (
        "type.safetensors", safetensors("{\"a\":{\"dtype\":\"\(plain)\",\"shape\":[1],\"data_offsets\":[0,4]}}"),
        predict("type.safetensors")
      ),
      (
        "name.safetensors", safetensors("{\"\(plain)\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"),
        predict("name.safetensors")
      ),
      ("broken.safetensors", safetensors("{\"a\":\(plain)}"), predict("broken.safetensors")),
      ("type.npy", numpy(word), ["run", "x.safetensors", "--input", "type.npy", "--output", "y.npy"]),
      ("global.pdparams", Data([0x80, 2]) + Data("c\(word)\n\(word)\n.".utf8), predict("global.pdparams")),
      ("text.pdparams", Data(long.utf8), predict("text.pdparams")),
      ("x.onnx", Data([8, 7, 0x12, 0x80, 0xB5, 0x18]) + Data(long.utf8), predict("x.onnx")),
    ]
  }()

  @Test("A message stays short and does nothing to a terminal", arguments: files.indices)
  func file(index: Int) throws {
    let workspace = try Workspace()
    let (name, content, arguments) = Self.files[index]
    try workspace.write(content, name)
    try workspace.write("no picture", "x.png")
    let run = try ToolRun(arguments, folder: workspace.url.path)
    #expect(run.status != 0 && (1...78).contains(run.status), "\(name): \(run.status)")
    check(run, name)
  }

  @Test("Labels, lists and options")
  func texts() throws {
    let workspace = try Workspace()
    try workspace.write(Self.long, "labels.txt")
    try workspace.write("no picture", "x.png")
    let option = String(Self.long.prefix(50_000)).filter { $0 != "\0" }
    for arguments in [
      ["infer", "-c", "c.yaml", "-o", option], ["infer", "-c", "c.yaml", "-o", "Arch.\(option)=1"],
      ["predict", "x.png", "--model", option], ["predict", "x.png", "--weights", "x.png", "--labels", "labels.txt"],
      ["predict", option],
    ] {
      try workspace.write("Arch: {name: PPHGNetV2_B0}\n", "c.yaml")
      let run = try ToolRun(arguments, folder: workspace.url.path)
      #expect(run.status != 0)
      check(run, arguments[1])
    }
  }

  private func check(_ run: ToolRun, _ name: String) {
    #expect(run.errors.unicodeScalars.count < 2600, "\(name): \(run.errors.prefix(300))")
    let harmful = run.errors.unicodeScalars.filter { $0.value < 0x20 && $0 != "\n" || $0.value == 0x202E }
    #expect(harmful.isEmpty, "\(name)")
  }
}
