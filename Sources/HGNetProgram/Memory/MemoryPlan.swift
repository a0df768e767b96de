/// Gives every buffer its place in one arena, so that buffers that live at the same time do not overlap.
///
/// Greedy by size: the largest first, each at the lowest place that is free during its life.
package struct MemoryPlan: Sendable {
  /// Bytes from the start of the arena, one per buffer.
  package let offsets: [Int]
  /// Bytes of the whole arena.
  package let byteCount: Int

  /// Places all buffers.
  package init(_ buffers: [Buffer]) {
    var offsets = [Int](repeating: 0, count: buffers.count)
    var placed: [Int] = []
    var end = 0
    for index in buffers.indices.sorted(by: { (buffers[$0].byteCount, $1) > (buffers[$1].byteCount, $0) }) {
      let buffer = buffers[index]
      let rivals = placed.filter { buffers[$0].livesBeside(buffer) }.sorted { offsets[$0] < offsets[$1] }
      var offset = 0
      for rival in rivals {
        if offset + buffer.byteCount <= offsets[rival] { break }
        offset = max(offset, offsets[rival] + buffers[rival].byteCount)
      }
      offsets[index] = offset
      placed.append(index)
      end = max(end, offset + buffer.byteCount)
    }
    self.offsets = offsets
    byteCount = end
  }
}
