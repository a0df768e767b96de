// Does what PaddleClas' demonstration for Paddle Lite does, with its configuration and its printed lines, through the C
// interface. `clas_model_file` is a file of weights of any format that the library reads.
//
//   c++ -std=c++17 clas_system.cpp $(pkg-config --cflags --libs hgnet-static) -o clas_system
//   ./clas_system config.txt photo.jpg
#include <hgnet.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

namespace {

// Lines "key value".
std::map<std::string, std::string> read_config(const std::string &path) {
  std::map<std::string, std::string> config;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key, value;
    if (words >> key && key[0] != '#') {
      std::getline(words >> std::ws, value);
      value.erase(value.find_last_not_of(" \t\r") + 1);
      config[key] = value;
    }
  }
  return config;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char **argv) {
  if (argc < 3) {
    std::cerr << "[ERROR] usage: " << argv[0] << " config_path img_path" << std::endl;
    return 1;
  }
  std::map<std::string, std::string> config = read_config(argv[1]);
  const std::string picture = argv[2];
  std::cout << "=======PaddleClas lite demo config======" << std::endl;
  for (const auto &[key, value] : config) std::cout << key << " : " << value << std::endl;
  std::cout << "=======End of PaddleClas lite demo config======" << std::endl;

  const auto number = [&](const char *key) { return std::atoi(config[key].c_str()); };
  hgnet_options options = hgnet_default_options();
  options.recipe = HGNET_RECIPE_DEPLOYMENT;
  options.resize_short = number("resize_short_size");
  options.crop_size = number("crop_size");
  options.threads = number("num_threads");
  options.top_k = 5;
  if (!config["label_path"].empty()) options.labels_file = config["label_path"].c_str();
  hgnet_classifier classifier;
  hgnet_scored_class classes[5];
  size_t count = 0;
  const auto classify = [&] { return hgnet_file_classify(classifier, picture.c_str(), classes, 5, &count) == HGNET_OK; };
  if (hgnet_classifier_open(config["clas_model_file"].c_str(), &options, &classifier) != HGNET_OK) {
    std::cerr << "[ERROR] " << hgnet_error_text() << std::endl;
    return 1;
  }
  auto start = std::chrono::steady_clock::now();
  if (!classify()) {
    std::cerr << "[ERROR] " << hgnet_error_text() << std::endl;
    return 1;
  }
  double elapsed = seconds_since(start);

  std::cout << "===clas result for image: " << picture << "===" << std::endl;
  for (size_t rank = 0; rank < count; rank++) {
    // A line of the label file is "index name"; the demonstration keeps the space between them.
    std::cout << "\tTop-" << rank + 1 << ", class_id: " << classes[rank].index
              << ", class_name: " << (classes[rank].label ? std::string(" ") + classes[rank].label : "")
              << ", score: " << classes[rank].score << std::endl;
  }
  if (number("enable_benchmark") == 1) {
    constexpr int warm_ups = 10, runs = 1000;
    for (int i = 0; i < warm_ups; i++) classify();
    double total = 0;
    for (int i = 0; i < runs; i++) {
      start = std::chrono::steady_clock::now();
      classify();
      elapsed = seconds_since(start);
      total += elapsed;
    }
    std::cout << "Current image path: " << picture << std::endl;
    std::cout << "Current time cost: " << elapsed << " s, average time cost in all: " << total / runs << " s." << std::endl;
  } else {
    std::cout << "Current time cost: " << elapsed << " s." << std::endl;
  }
  hgnet_classifier_close(classifier);
}
