// Does what PaddleClas' C++ demonstration does, with its configuration and its printed lines, through the C interface.
//
//   c++ -std=c++17 clas_system.cpp $(pkg-config --cflags --libs hgnet) -o clas_system
//   ./clas_system -c inference_cls.yaml
#include <hgnet.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

namespace {

// The lines of a YAML file without comments and empty lines.
std::vector<std::string> yaml_lines(const std::string &path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    size_t comment = line.rfind('#', 0) == 0 ? 0 : line.find(" #");
    line.erase(std::min(comment, line.size()));
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

// The text of a key of the section Global; empty without it. The library reads the rest of the file.
std::string global(const std::vector<std::string> &lines, const std::string &key) {
  bool is_global = false;
  for (const std::string &line : lines) {
    if (line[0] != ' ') is_global = line == "Global:";
    size_t start = line.find_first_not_of(' ');
    if (!is_global || start == 0 || line.compare(start, key.size() + 1, key + ":") != 0) continue;
    std::string value = line.substr(std::min(line.size(), line.find_first_not_of(' ', start + key.size() + 1)));
    if (value.size() >= 2 && (value[0] == '"' || value[0] == '\'')) value = value.substr(1, value.size() - 2);
    return value;
  }
  return "";
}

std::vector<std::string> pictures(const std::string &path) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(path)) return {path};
  std::vector<std::string> found;
  for (const auto &entry : fs::directory_iterator(path))
    if (entry.is_regular_file()) found.push_back(entry.path().string());
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 3 || (std::string(argv[1]) != "-c" && std::string(argv[1]) != "-config")) {
    std::cerr << "usage: " << argv[0] << " -c inference_cls.yaml" << std::endl;
    return 1;
  }
  const std::vector<std::string> lines = yaml_lines(argv[2]);
  std::cout << "=======Paddle Class inference config======" << std::endl;
  for (const std::string &line : lines) std::cout << line << std::endl;
  std::cout << "=======End of Paddle Class inference config======" << std::endl;

  const std::vector<std::string> paths = pictures(global(lines, "infer_imgs"));
  std::cout << "img_file_list length: " << paths.size() << std::endl;

  hgnet_options options = hgnet_default_options();
  options.recipe_file = argv[2];
  // More threads than processors only slow down.
  int wanted = std::atoi(global(lines, "cpu_num_threads").c_str());
  if (wanted >= 1 && wanted < int(std::thread::hardware_concurrency())) options.threads = wanted;
  hgnet_classifier classifier;
  hgnet_description description{};
  description.struct_size = sizeof description;
  if (hgnet_classifier_open(global(lines, "inference_model_dir").c_str(), &options, &classifier) != HGNET_OK ||
      hgnet_classifier_describe(classifier, &description) != HGNET_OK) {
    std::cerr << "[ERROR] " << hgnet_error_text() << std::endl;
    return 1;
  }
  if (!description.has_labels) std::cout << "Warning: the label size is not equal to output size!" << std::endl;

  double total = 0;
  std::vector<hgnet_scored_class> classes(description.class_count);
  for (size_t i = 0; i < paths.size(); i++) {
    size_t count = 0;
    const auto start = std::chrono::steady_clock::now();
    if (hgnet_file_classify(classifier, paths[i].c_str(), classes.data(), classes.size(), &count) != HGNET_OK) {
      std::cerr << "[ERROR] image read failed! image path: " << paths[i] << std::endl << hgnet_error_text() << std::endl;
      return 1;
    }
    const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
    // The first pictures warm the caches.
    if (i >= 5) total += elapsed.count();
    std::cout << "Current image path: " << paths[i] << std::endl;
    std::cout << "Current total inferen time cost: " << elapsed.count() << " ms." << std::endl;
    for (size_t rank = 0; rank < count; rank++) {
      const hgnet_scored_class &found = classes[rank];
      std::printf("\tTop%zu: class_id: %zu, score: %.4f", rank + 1, found.index, found.score);
      if (found.label) std::printf(", label: %s", found.label);
      std::printf("\n");
    }
    std::fflush(stdout);
  }
  if (paths.size() > 5) std::cout << "average time cost in all: " << total / (paths.size() - 5) << " ms." << std::endl;
  hgnet_classifier_close(classifier);
}
