// Classifies a picture through `hgnet serve`: classify http://127.0.0.1:8080 photo.jpg
import Foundation

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

struct Answer: Decodable {
  struct Prediction: Decodable {
    let classes: [Scored]
  }
  struct Scored: Decodable {
    let index: Int
    let label: String?
    let score: Double
  }
  let predictions: [Prediction]
}

guard CommandLine.arguments.count == 3, let address = URL(string: CommandLine.arguments[1] + "/v1/classify") else {
  print("usage: classify ADDRESS PICTURE")
  exit(64)
}
do {
  var request = URLRequest(url: address)
  request.httpMethod = "POST"
  request.setValue("application/octet-stream", forHTTPHeaderField: "Content-Type")
  request.httpBody = try Data(contentsOf: URL(fileURLWithPath: CommandLine.arguments[2]))
  let (body, response) = try await URLSession.shared.data(for: request)
  guard (response as? HTTPURLResponse)?.statusCode == 200 else {
    print("refused: \(String(decoding: body, as: UTF8.self))")
    exit(1)
  }
  for scored in try JSONDecoder().decode(Answer.self, from: body).predictions.flatMap(\.classes) {
    print(String(format: "%.4f", scored.score), scored.label ?? "class \(scored.index)")
  }
} catch {
  print("failed: \(error)")
  exit(1)
}
