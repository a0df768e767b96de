import HGNetModels
import Testing

@Suite("Names of the ImageNet classes")
struct ImageNetLabelsTests {
  @Test("are one non-empty name for each of the 1000 classes")
  func complete() {
    let names = ImageNetLabels.names
    #expect(names.count == 1000)
    #expect(names.allSatisfy { !$0.isEmpty && !$0.contains("_") && $0.first != " " && $0.last != " " })
  }

  @Test("differ, except for the bird and the machine that are both called crane")
  func distinct() {
    let classes = Dictionary(grouping: ImageNetLabels.names.indices) { ImageNetLabels.names[$0] }
    let shared = classes.filter { $0.value.count > 1 }
    #expect(shared == ["crane": [134, 517]])
  }

  @Test(
    "stand at the index of the network's output",
    arguments: [
      (0, "tench, Tinca tinca"), (8, "hen"), (9, "ostrich, Struthio camelus"), (207, "golden retriever"),
      (281, "tabby, tabby cat"), (332, "Angora, Angora rabbit"), (954, "banana"),
      (999, "toilet tissue, toilet paper, bathroom tissue"),
    ])
  func known(index: Int, name: String) {
    #expect(ImageNetLabels.names[index] == name)
  }

  @Test("Synsets are numbered as ImageNet's folders are: in their order, and beside their names")
  func synsets() {
    let synsets = ImageNetSynsets.classes.sorted { $0.value < $1.value }
    #expect(synsets.map(\.value) == Array(0..<1000))
    #expect(synsets.map(\.key) == synsets.map(\.key).sorted())
    // The ten classes of Imagenette, as its authors give them.
    let known = [
      ("n01440764", "tench"), ("n02102040", "English springer"), ("n02979186", "cassette player"),
      ("n03000684", "chain saw"), ("n03028079", "church"), ("n03394916", "French horn"), ("n03417042", "garbage truck"),
      ("n03425413", "gas pump"), ("n03445777", "golf ball"), ("n03888257", "parachute"),
    ]
    for (synset, name) in known {
      #expect(ImageNetSynsets.classes[synset].map { ImageNetLabels.names[$0].hasPrefix(name) } == true, "\(synset)")
    }
  }
}
